"""What values an option can have: how each is read from text, from YAML, and written back."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from ebpf.errors import UsageError
from exporter.configuration import schemas
from exporter.configuration.day_schedule import DayPart, parse_day_parts
from exporter.configuration.durations import format_duration, parse_duration
from exporter.configuration.nearest import cut, nearest
from exporter.configuration.pod_labels import label_names

T = TypeVar("T")
_MAX_FLOAT = sys.float_info.max
_MAX_TEXT = 4096  # PATH_MAX of Linux; nothing else is nearly as long
_ANY_TEXT = schemas.text(longest=_MAX_TEXT)


@dataclass(frozen=True, slots=True)
class ValueType(Generic[T]):
    """How a type of value is read and written.

    allowed: what may stand there, for messages and documentation. parse: from what YAML holds; raises
    ValueError, its message saying more than `allowed` does or nothing. from_texts: what YAML would hold, from
    the texts of a flag (one each time it is given) or of an environment variable. plain: what YAML holds for
    a value. schema: JSON Schema of what YAML may hold. repeatable: the flag may be given many times.
    is_switch: given without a value it means "true".
    """

    allowed: str
    parse: Callable[[object], T]
    from_texts: Callable[[Sequence[str]], object]
    plain: Callable[[T], object]
    schema: schemas.Schema
    repeatable: bool = False
    is_switch: bool = False


def choice(*names: str, aliases: Mapping[str, str] | None = None) -> ValueType[str]:
    """One of the names, in any case. aliases: other spellings taken as well."""
    known = {name: name for name in names} | dict(aliases or {})

    def parse(found: object) -> str:
        if isinstance(found, bool):  # as YAML 1.1 reads the bare words
            for yes, no in (("on", "off"), ("true", "false")):
                if {yes, no} <= known.keys():
                    found = yes if found else no
        return _one_of(_string(found), known)

    schema = schemas.one_of(
        known, booleans={"on", "off"} <= known.keys() or {"true", "false"} <= known.keys()
    )
    return ValueType(", ".join(names), parse, _last, str, schema)


def choices(*names: str, empty: str) -> ValueType[tuple[str, ...]]:
    """Some of the names in any case, kept once each and in the order given here.

    empty: what an empty list means, or "" where it is refused.
    """
    allowed = f"a list of {', '.join(names)}" + (f"; empty for {empty}" if empty else "")

    def parse(found: object) -> tuple[str, ...]:
        wanted = {_one_of(item, {name: name for name in names}) for item in _strings(found)}
        if not wanted and not empty:
            raise ValueError("the list is empty")
        return tuple(name for name in names if name in wanted)

    schema = schemas.some_of(names, least=0 if empty else 1)
    return ValueType(allowed, parse, _split, list, schema, repeatable=True)


def ordered_choices(*names: str, empty: str) -> ValueType[tuple[str, ...]]:
    """Some of the names in any case, kept once each and in the order in which they are given."""
    plain = choices(*names, empty=empty)

    def parse(found: object) -> tuple[str, ...]:
        known = {name: name for name in names}
        return tuple(dict.fromkeys(_one_of(item, known) for item in _strings(found)))

    return replace(plain, parse=parse)


def boolean() -> ValueType[bool]:
    """True or false; the flag alone means true."""

    def parse(found: object) -> bool:
        if not isinstance(found, bool):
            raise ValueError
        return found

    def from_texts(texts: Sequence[str]) -> object:
        return {"true": True, "false": False}.get(texts[-1].strip().lower(), texts[-1])

    schema = {"type": ["boolean", "null"]}
    return ValueType("true or false", parse, from_texts, bool, schema, is_switch=True)


def duration(minimum: float = 0.0) -> ValueType[float]:
    """Seconds, written as a duration and at least `minimum`."""
    least = f"of at least {format_duration(minimum)}, " if minimum else ""

    def parse(found: object) -> float:
        seconds = parse_duration(_string(found))
        if seconds < minimum:
            raise ValueError
        return seconds

    allowed = f"a duration {least}such as 500ms, 5s or 1m30s"
    return ValueType(allowed, parse, _last, format_duration, schemas.duration(minimum))


def integer(low: int, high: int) -> ValueType[int]:
    """A whole number between low and high, both included."""

    def parse(found: object) -> int:
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise ValueError
        return found

    def from_texts(texts: Sequence[str]) -> object:
        text = texts[-1].strip()
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else text

    allowed = f"a whole number from {low} to {high}"
    return ValueType(allowed, parse, from_texts, int, schemas.number(low, high, "integer"))


def path() -> ValueType[Path]:
    """A path; whether it exists is not asked, so that a file can be checked on another machine."""
    return ValueType("a path", lambda found: Path(_string(found)), _last, str, _ANY_TEXT)


def optional_path() -> ValueType[Path | None]:
    """A path, or None where it is left out or empty, as Kepler's sample configuration has it."""

    def parse(found: object) -> Path | None:
        return None if found == "" else Path(_string(found))

    return ValueType("a path, or empty", parse, _last, lambda value: value and str(value), _ANY_TEXT)


def text(allowed: str, *words: str) -> ValueType[str]:
    """Any text that is not empty. words: those that mean something, in any case."""

    def parse(found: object) -> str:
        found = _string(found)
        return found.casefold() if found.casefold() in words else found

    return ValueType(allowed, parse, _last, str, _ANY_TEXT)


def texts(allowed: str) -> ValueType[tuple[str, ...]]:
    """Any texts, kept once each and in their order; none by default."""

    def parse(found: object) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_strings(found)))

    return ValueType(allowed, parse, _split, list, schemas.list_of(), repeatable=True)


def attributes() -> ValueType[tuple[tuple[str, str], ...]]:
    """Names with a value each, in their order and each once."""

    def parse(found: object) -> tuple[tuple[str, str], ...]:
        pairs = [
            (name.strip(), value.strip())
            for name, _, value in (text.partition("=") for text in _strings(found))
        ]
        if not all(name and value for name, value in pairs):
            raise ValueError
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name comes twice")
        return tuple(pairs)

    allowed = "a list of name=value, such as k8s.cluster.name=prod"
    schema = schemas.list_of(r"^[^=]*[^=\s][^=]*=[\s\S]*\S")
    return ValueType(
        allowed, parse, _split, lambda pairs: ["=".join(pair) for pair in pairs], schema, repeatable=True
    )


def pod_labels() -> ValueType[tuple[str, ...]]:
    """Pod labels, whose names as Prometheus can hold them are all different."""
    plain = texts("a list of pod labels")

    def parse(found: object) -> tuple[str, ...]:
        wanted = plain.parse(found)
        label_names(wanted)
        return wanted

    return replace(plain, parse=parse)


def watts() -> ValueType[float | None]:
    """A power of at least 0, or None where it is left out."""
    return optional(number("watts, a number", 0.0, math.inf))


def number(allowed: str, low: float, high: float) -> ValueType[float]:
    """A finite number from low to high. allowed: what it is, without the bounds."""

    def parse(found: object) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ValueError
        if not low <= found <= high or not -_MAX_FLOAT <= found <= _MAX_FLOAT:
            raise ValueError
        return float(found)

    bounds = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
    return ValueType(f"{allowed} {bounds}", parse, _number, float, schemas.number(low, high))


def optional(of: ValueType[T]) -> ValueType[T | None]:
    """The same, or None where it is left out."""

    def plain(value: T | None) -> object:
        return None if value is None else of.plain(value)

    return ValueType(of.allowed, of.parse, of.from_texts, plain, of.schema, of.repeatable, of.is_switch)


def day_parts(of: str, low: float, high: float) -> ValueType[tuple[DayPart, ...]]:
    """Values by time of day, from low to high. of: what they are."""

    def parse(found: object) -> tuple[DayPart, ...]:
        return parse_day_parts(_strings(found), low, high)

    allowed = f"a list such as 22:00-06:00=120, {of} from {low:g} to {high:g}"
    schema = schemas.list_of(r"^\s*[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}=.")
    return ValueType(
        allowed, parse, _split, lambda parts: [str(part) for part in parts], schema, repeatable=True
    )


def time_zone() -> ValueType[str]:
    """A time zone's name in the IANA database."""

    def parse(found: object) -> str:
        from exporter.configuration.time_zones import find_zone  # costs start-up time

        find_zone(_string(found))
        return _string(found)

    allowed = "UTC, or a name of the time zone database such as Europe/Berlin"
    return ValueType(allowed, parse, _last, str, _ANY_TEXT)


def matching(pattern: str, allowed: str) -> ValueType[str]:
    """A text that the pattern matches as a whole."""

    def parse(found: object) -> str:
        if not re.fullmatch(pattern, _string(found)):
            raise ValueError
        return _string(found)

    return ValueType(allowed, parse, _last, str, schemas.text(f"^({pattern})?$"))


def http_url() -> ValueType[str]:
    """An address of a server, with a path or without; a password has its place in a file."""

    def parse(found: object) -> str:
        parts = urlsplit(_string(found))
        if parts.username is not None or parts.query or parts.fragment:
            # As a ValueError it would be shown, with what it holds.
            raise UsageError(
                "an address has a user or a query, which may be secret and is not shown here:"
                " give the address alone, and secrets in a file"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError
        if not _string(found).isprintable() or " " in _string(found):
            raise ValueError
        _ = parts.port  # raises ValueError itself
        return _string(found)

    # No more than that: whoever says that a text does not match shows it, and it may hold a password.
    schema = schemas.text(r"^((?i:https?)://[^\s/?#].*)?$", _MAX_TEXT)
    return ValueType("http:// or https:// with a host, without user or query", parse, _last, str, schema)


def addresses() -> ValueType[tuple[str, ...]]:
    """Where to listen: at least one host:port, the host empty for every interface."""

    def parse(found: object) -> tuple[str, ...]:
        items = _strings(found)
        if not items:
            raise ValueError("the list is empty")
        for item in items:
            _check_address(item)
        return tuple(dict.fromkeys(items))

    schema = schemas.list_of(r":[0-9]+$", least=1)
    return ValueType(
        "a list of host:port, :port or [IPv6]:port", parse, _split, list, schema, repeatable=True
    )


def _string(found: object) -> str:
    if not isinstance(found, str) or not found.strip():
        raise ValueError
    if len(found) > _MAX_TEXT:
        raise ValueError(f"more than {_MAX_TEXT} characters")
    return found


def _strings(found: object) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError
    return found


def _check_address(address: str) -> None:
    from exporter.configuration.addresses import (
        parse_address,  # sockets: start-up pays for them only where one is named
    )

    try:
        parse_address(address)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _one_of(found: str, known: Mapping[str, str]) -> str:
    by_folded = {name.casefold(): meant for name, meant in known.items()}
    if found.casefold() not in by_folded:
        raise ValueError(f"the nearest to {cut(found)!r} is {nearest(found, known)!r}")
    return by_folded[found.casefold()]


def _number(texts: Sequence[str]) -> object:
    try:
        return float(texts[-1])
    except ValueError:
        return texts[-1]


def _last(texts: Sequence[str]) -> str:
    return texts[-1]


def _split(texts: Sequence[str]) -> list[str]:
    return [item.strip() for given in texts for item in given.split(",") if item.strip()]
