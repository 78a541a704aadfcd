"""What a client may ask of the API: a query string in, values out, or a sentence that says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from exporter.serving.api.history import SLOT_SECONDS
from exporter.serving.api.view import VALUES

KINDS = ("pod", "container", "vm", "unit", "user", "kernel", "root", "job", "other", "process")
LEVELS = ("all", "top")
SORTS = (*VALUES, "name")
ORDERS = ("descending", "ascending")
MAX_LIMIT = 100_000
MAX_TOP = 100
MAX_STEP_SLOTS = 360
_LONGEST = 512


class BadQuery(ValueError):
    """A parameter that is not known or has a wrong value; the message names it and what is right."""


@dataclass(frozen=True, slots=True)
class WorkloadsQuery:
    """Of /api/v1/workloads. kinds, pod, container: empty for all. order: "" for what suits the sort."""

    kinds: tuple[str, ...] = ()
    level: str = "all"
    pod: str = ""
    container: str = ""
    sort: str = "watts"
    order: str = ""
    limit: int = MAX_LIMIT


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Of /api/v1/history. since: Unix time, 0 for all there is. step_slots: slots to a point."""

    since: float = 0.0
    step_slots: int = 1
    top: int = 10


def parse_workloads(query: str) -> WorkloadsQuery:
    """Raises BadQuery."""
    given = _split(query, ("kind", "level", "pod", "container", "sort", "order", "limit"))
    kinds = tuple(kind for kind in given.get("kind", "").split(",") if kind)
    return WorkloadsQuery(
        kinds=tuple(dict.fromkeys(_choice("kind", kind, KINDS) for kind in kinds)),
        level=_choice("level", given.get("level", "all"), LEVELS),
        pod=given.get("pod", ""),
        container=given.get("container", ""),
        sort=_choice("sort", given.get("sort", "watts"), SORTS),
        order=_choice("order", given["order"], ORDERS) if "order" in given else "",
        limit=_integer("limit", given["limit"], 1, MAX_LIMIT) if "limit" in given else MAX_LIMIT,
    )


def parse_history(query: str, slot_seconds: float = SLOT_SECONDS) -> HistoryQuery:
    """Raises BadQuery."""
    given = _split(query, ("since", "step", "top"))
    slot = round(slot_seconds)
    step = _integer("step", given["step"], slot, MAX_STEP_SLOTS * slot) if "step" in given else slot
    if step % slot:
        raise BadQuery(f"step: found {step}; it is a multiple of {slot} seconds")
    return HistoryQuery(
        since=_seconds("since", given["since"]) if "since" in given else 0.0,
        step_slots=step // slot,
        top=_integer("top", given["top"], 0, MAX_TOP) if "top" in given else 10,
    )


def parse_nothing(query: str) -> None:
    """For what takes no parameters. Raises BadQuery."""
    _split(query, ())


def _split(query: str, known: Sequence[str]) -> Mapping[str, str]:
    try:
        given = parse_qs(query, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError as error:
        raise BadQuery(f"the query string cannot be read: {error}") from error
    for name, values in given.items():
        if name not in known:
            raise BadQuery(_unknown(name, known))
        if len(values) > 1:
            raise BadQuery(f"{name}: given {len(values)} times; once is right")
        if len(values[0]) > _LONGEST:
            raise BadQuery(f"{name}: {len(values[0])} characters; {_LONGEST} are the most")
    return {name: values[0] for name, values in given.items()}


def _unknown(name: str, known: Sequence[str]) -> str:
    if not known:
        return f"unknown parameter {name[:40]!r}; this takes none"
    return f"unknown parameter {name[:40]!r}; there are {', '.join(known)}"


def _choice(name: str, found: str, allowed: Sequence[str]) -> str:
    if found not in allowed:
        raise BadQuery(f"{name}: found {found[:40]!r}; it is one of {', '.join(allowed)}")
    return found


def _integer(name: str, found: str, least: int, most: int) -> int:
    # int() takes more than digits: spaces, underscores, other scripts.
    if not (found.isascii() and found.isdigit() and len(found) <= 12 and least <= int(found) <= most):
        raise BadQuery(f"{name}: found {found[:40]!r}; it is a whole number from {least} to {most}")
    return int(found)


def _seconds(name: str, found: str) -> float:
    whole, _, fraction = found.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and whole and len(digits) <= 20):
        raise BadQuery(f"{name}: found {found[:40]!r}; it is Unix time in seconds, such as 1767225600")
    return float(found)
