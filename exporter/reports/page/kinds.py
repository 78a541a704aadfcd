"""The kinds of energy in the order in which they are stacked, and in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KindName:
    """name: in tables and legends. meaning: one sentence. css: the class of its colour."""

    name: str
    meaning: str
    css: str


KINDS = {
    "idle": KindName("Idle", "What the nodes draw without any work, and nobody was given.", "kind-idle"),
    "idle_share": KindName(
        "Idle, shared out", "Idle energy that the policy gave to workloads.", "kind-idle-share"
    ),
    "active": KindName("Active", "What work caused.", "kind-active"),
    "unattributed": KindName(
        "Unattributed", "What belongs to no workload that is known.", "kind-unattributed"
    ),
    "difference": KindName(
        "Difference",
        "What the meters counted beyond all rows; next to nothing where all adds up.",
        "kind-difference",
    ),
    "overhead": KindName(
        "Overhead",
        "Cooling and power supply of the site, by its PUE, on top of what the nodes drew.",
        "kind-overhead",
    ),
}


def in_order(kinds: Iterable[str]) -> tuple[str, ...]:
    """Known kinds as they are stacked, then those that a later version may have."""
    there = set(kinds)
    return (*(kind for kind in KINDS if kind in there), *sorted(there - set(KINDS)))


def kind_name(kind: str) -> KindName:
    """In words."""
    return KINDS.get(kind) or KindName(kind, "", "kind-other")


def nobodys(key: tuple[str, ...]) -> str:
    """The kind that a group's key stands for where it is nobody's, as ("(idle)",) is; "" where somebody's."""
    kinds = (part[1:-1] for part in key if part[:1] == "(" and part[-1:] == ")")
    return next((kind for kind in kinds if kind in KINDS), "")
