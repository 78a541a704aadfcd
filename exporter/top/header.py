"""The lines above the table: which node, where its energy comes from, how podjoule fares, what is shown."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.configuration.durations import format_duration
from exporter.top.chosen_rows import Choice
from exporter.top.frame import Frame, Node, NodeZone, Row
from exporter.top.model import Model
from exporter.top.text import BAD, DIM, FIGURE, GOOD, TITLE, WARN, Line
from exporter.top.units import UNKNOWN, WATTS, percent, prose

_STALE_INTERVALS, _STALE_SECONDS = 3, 10.0
_SCOPE_CHARACTERS = 26


@dataclass(frozen=True, slots=True)
class Seen:
    """The last frame, None before there is one; how old its tick is; why there is none since, "" if so.

    where: whom it was asked from, "" for this machine itself.
    """

    frame: Frame | None = None
    age_seconds: float = 0.0
    problem: str = ""
    where: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether ticks should have come in between."""
        if self.frame is None:
            return False
        return self.age_seconds > max(_STALE_SECONDS, _STALE_INTERVALS * self.frame.node.interval_seconds)

    @property
    def trouble(self) -> str:
        """What the user should know of, with the age of what is shown; "" for nothing."""
        said = self.problem or (self.frame.node.problem if self.frame else "")
        if not said and not self.is_stale:
            return ""
        is_old = self.frame is not None and (self.problem or self.is_stale)
        age = f"{self.age_seconds:.0f} s old: " if is_old else ""
        return age + (said or "no new measurement")


def title(seen: Seen) -> Line:
    """Node, source, interval, health."""
    if seen.frame is None:
        return (("podjoule top", TITLE), (f"  {seen.where}", ""))
    node = seen.frame.node
    interval = format_duration(round(node.interval_seconds, 1))
    return (
        ("podjoule top", TITLE),
        (f"  {node.name}  ", ""),
        source(node),
        (f"  every {interval}  last tick ", ""),
        ("trouble", BAD) if seen.trouble else ("ok", GOOD),
        (f"  {seen.where}" if seen.where else "", DIM),
    )


def source(node: Node) -> tuple[str, str]:
    """Whether the energy is measured or estimated, and by what."""
    if node.source == "none":
        return "energy not known", BAD
    if node.estimated:
        return f"estimated by {node.model or 'a model'}", WARN
    return f"measured by {node.source}", GOOD


def node_line(node: Node) -> Line:
    """The node's watts in parts; an estimate's with its interval."""
    pieces = [("Node ", ""), (prose(node.watts, WATTS), FIGURE)]
    if node.low_watts is not None and node.high_watts is not None:
        pieces.append((f" ({prose(node.low_watts, WATTS)} to {prose(node.high_watts, WATTS)})", ""))
    parts = [("idle", node.idle_watts), ("active", node.active_watts), ("nobody's", node.unattributed_watts)]
    for name, watts in parts:
        pieces += [(f"  {name} ", ""), (prose(watts, WATTS), FIGURE)]
    return (*pieces, (f"  CPU {percent(node.cpu_ratio)}", ""))


def zone_line(node: Node) -> Line:
    """Each zone, and its source where not all are from one; those that do not count for the node, since they
    lie in others, behind "also"."""
    is_one = len({zone.source for zone in node.zones}) <= 1
    counted = [_zone(zone, is_one) for zone in node.zones if zone.counted]
    others = [_zone(zone, is_one) for zone in node.zones if not zone.counted]
    also = f"  also {'  '.join(others)}" if others else ""
    return ((f"Zones {'  '.join(counted) or UNKNOWN}{also}", ""),)


def gpu_line(node: Node) -> Line:
    """Each GPU, and who holds it; empty where there is none."""
    told = [
        f"{gpu.index} {prose(gpu.watts, WATTS)} (idle {prose(gpu.idle_watts, WATTS)})"
        + (f" {'+'.join(gpu.pods)}" if gpu.pods else "")
        for gpu in node.gpus
    ]
    return ((f"GPUs {'  '.join(told)}", ""),) if told else ()


def lacks_line(node: Node) -> Line:
    """What is missing, and how to have it; empty where nothing is."""
    return ((node.lacks, WARN),) if node.lacks else ()


def shown_line(choice: Choice, model: Model, is_paused: bool = False, is_editing: bool = False) -> Line:
    """What the table holds: by what, inside of what, in which order, found by what."""
    direction = "up" if model.ascending else "down"
    pieces = [(f"By {choice.showing}", TITLE), ("  PAUSED" if is_paused else "", WARN)]
    pieces.append((f"  sort {model.sort} {direction}", ""))
    if choice.filter or is_editing:
        pieces += [("  filter ", ""), (choice.filter, WARN), (f"  {len(model.rows)} of {model.total}", "")]
    else:
        pieces.append((f"  {model.total} rows", ""))
    return (*pieces, *((f"  in {_described(row)}", "") for row in reversed(choice.scopes)))


def nothing(seen: Seen, choice: Choice) -> str:
    """Why there are no rows."""
    if seen.frame is None:
        return "" if seen.trouble else "waiting for the first measurement"
    if choice.filter:
        return "no row is found by this filter; Esc shows all"
    return "nothing has used any CPU here yet" if choice.scopes else f"there is no {choice.by} here yet"


def _zone(zone: NodeZone, is_one: bool) -> str:
    source = "" if is_one else f", by {zone.source}"
    return f"{zone.name} {prose(zone.watts, WATTS)} (idle {prose(zone.idle_watts, WATTS)}{source})"


def _described(row: Row) -> str:
    name, front = row.name, _SCOPE_CHARACTERS // 2
    is_long = len(name) > _SCOPE_CHARACTERS
    return f"{row.kind} " + (f"{name[:front]}…{name[front + 1 - _SCOPE_CHARACTERS :]}" if is_long else name)
