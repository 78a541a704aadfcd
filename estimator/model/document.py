"""A JSON document read strictly: every complaint names the file and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from estimator.energy import FloatArray
from estimator.errors import ModelInvalid

# More than anything that is measured in joules, seconds, hertz or bytes: beyond it products are no numbers.
_MOST = 1e60


class Field:
    """One value of a document and where it stands."""

    __slots__ = ("file", "path", "value")

    def __init__(self, file: str, path: str, value: object) -> None:
        self.file, self.path, self.value = file, path, value

    def refuse(self, wanted: str) -> NoReturn:
        """Raise ModelInvalid: what was wanted, where, what was found, and how to mend it."""
        found = _short(self.value)
        raise ModelInvalid(
            f"model {self.file}: field {self.path or '(document)'}: wanted {wanted}, found {found}; "
            "train or generate the file again"
        )

    def __getitem__(self, key: str) -> Field:
        members = self.mapping()
        if key not in members:
            Field(self.file, self._below(key), None).refuse("a value")
        return Field(self.file, self._below(key), members[key])

    def items(self) -> Iterator[tuple[str, Field]]:
        """The members of an object."""
        return ((key, Field(self.file, self._below(key), value)) for key, value in self.mapping().items())

    def mapping(self) -> dict[str, Any]:
        """The value, an object."""
        return self.value if isinstance(self.value, dict) else self.refuse("an object")

    def text(self) -> str:
        """The value, a string that is not empty."""
        return self.value if isinstance(self.value, str) and self.value else self.refuse("text")

    def number(self, least: float = 0.0, most: float = _MOST) -> float:
        """The value, a finite number in [least, most]."""
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            number = _as_float(self.value)
            if math.isfinite(number) and least <= number <= most:
                return number
        return self.refuse(f"a number in [{least:g}, {most:g}]")

    def numbers(self) -> tuple[float, ...]:
        """The value, a list of finite numbers ≥ 0."""
        values = self.value if isinstance(self.value, list) else self.refuse("a list of numbers")
        return tuple(
            Field(self.file, f"{self.path}[{at}]", value).number() for at, value in enumerate(values)
        )

    def array(self, most_items: int, least: float = 0.0, most: float = _MOST) -> FloatArray:
        """The value, a list of at most so many finite numbers in [least, most]; shape (n,)."""
        values = self.value if isinstance(self.value, list) else self.refuse("a list of numbers")
        if len(values) > most_items:
            self.refuse(f"at most {most_items} numbers")
        if not set(map(type, values)) <= {int, float}:
            self._refuse_first(values, least, most)
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            self._refuse_first(values, least, most)
        if not (np.isfinite(numbers) & (least <= numbers) & (numbers <= most)).all():
            self._refuse_first(values, least, most)
        return numbers

    def _refuse_first(self, values: Sequence[object], least: float, most: float) -> NoReturn:
        for at, value in enumerate(values):
            Field(self.file, f"{self.path}[{at}]", value).number(least, most)
        self.refuse("a list of numbers")

    def elements(self, most_items: int) -> list[Field]:
        """The value's elements, a list of at most so many."""
        values = self.value if isinstance(self.value, list) else self.refuse("a list")
        if len(values) > most_items:
            self.refuse(f"at most {most_items} elements")
        return [Field(self.file, f"{self.path}[{at}]", value) for at, value in enumerate(values)]

    def one_of(self, names: Sequence[str]) -> str:
        """The value, one of these names."""
        return (
            self.value
            if isinstance(self.value, str) and self.value in names
            else self.refuse(f"one of {', '.join(names)}")
        )

    def optional_text(self) -> str | None:
        """The value, text or null."""
        return None if self.value is None else self.text()

    def optional_number(self) -> float | None:
        """The value, a number or null."""
        return None if self.value is None else self.number()

    def optional_integer(self) -> int | None:
        """The value, a whole number or null."""
        number = self.optional_number()
        if number is not None and number != int(number):
            self.refuse("a whole number")
        return None if number is None else int(number)

    def require_finite(self) -> None:
        """Refuse NaN and infinity anywhere below, also in what is only carried along."""
        found = _infinite(self.value)
        if found is not None:
            Field(self.file, *found).refuse("a finite number")

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def read_document(file: str, text: str) -> Field:
    """Parse JSON. ModelInvalid if it is none, nests too deep, or an object has a key twice.

    NaN and Infinity, which JSON does not know and Python's parser does, are let through here and refused by
    require_finite, which can say where they stand.
    """
    try:
        return Field(file, "", json.loads(text, object_pairs_hook=_unique))
    except (ValueError, RecursionError) as error:
        raise ModelInvalid(
            f"model {file}: field (document): wanted JSON, found {error}; fetch the file again"
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"a key twice among {sorted(key for key, _ in pairs)}")
    return members


def _infinite(document: object) -> tuple[str, float] | None:
    """Where a NaN or an infinity stands, and which; None without one.

    A loop over containers, since a call for each of half a million would take longer than a refusal may.
    """
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        path, container = waiting.pop()
        is_list = type(container) is list
        members = enumerate(container) if is_list else container.items() if type(container) is dict else ()
        for key, member in members:
            kind = type(member)
            if kind is float and not math.isfinite(member):
                return _member_path(path, key), member
            if member and (kind is list or kind is dict):
                waiting.append((_member_path(path, key), member))
    return None


def _member_path(path: str, key: str | int) -> str:
    return f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
