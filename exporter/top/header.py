"""The lines above the table: which node, where its energy comes from, how podjoule fares, what is shown."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.durations import format_duration
from exporter.top.frame import Frame, Node, Row, Zone
from exporter.top.model import Model
from exporter.top.state import State
from exporter.top.text import Line, Piece, printable, shortened
from exporter.top.units import UNKNOWN, WATTS, percent, prose

_STALE_INTERVALS, _STALE_SECONDS = 3, 10.0
_SCOPE_CELLS = 26


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
        return (Piece("podjoule top", "title"), Piece(f"  {seen.where}"))
    node = seen.frame.node
    health = Piece("trouble", "bad") if seen.trouble else Piece("ok", "good")
    interval = format_duration(round(node.interval_seconds, 1))
    return (
        Piece("podjoule top", "title"),
        Piece(f"  {node.name}  "),
        source(node),
        Piece(f"  every {interval}  last tick "),
        health,
        Piece(f"  {seen.where}" if seen.where else "", "dim"),
    )


def source(node: Node) -> Piece:
    """Whether the energy is measured or estimated, and by what."""
    if node.source == "none":
        return Piece("energy not known", "bad")
    if node.estimated:
        return Piece(f"estimated by {node.model or 'a model'}", "warn")
    return Piece(f"measured by {node.source}", "good")


def node_line(node: Node) -> Line:
    """The node's watts in parts; an estimate's with its interval."""
    pieces = [Piece("Node "), Piece(prose(node.watts, WATTS), "watts")]
    if node.low_watts is not None and node.high_watts is not None:
        pieces.append(Piece(f" ({prose(node.low_watts, WATTS)} to {prose(node.high_watts, WATTS)})"))
    parts = [("idle", node.idle_watts), ("active", node.active_watts), ("nobody's", node.unattributed_watts)]
    for name, watts in parts:
        pieces += [Piece(f"  {name} "), Piece(prose(watts, WATTS), "watts")]
    pieces.append(Piece(f"  CPU {percent(node.cpu_ratio)}"))
    return tuple(pieces)


def zone_line(node: Node) -> Line:
    """Each zone; those that do not count for the node, since they lie in others, behind "also"."""
    counted = [_zone(zone) for zone in node.zones if zone.counted]
    others = [_zone(zone) for zone in node.zones if not zone.counted]
    also = f"  also {'  '.join(others)}" if others else ""
    return (Piece(f"Zones {'  '.join(counted) or UNKNOWN}{also}"),)


def shown_line(state: State, model: Model) -> Line:
    """What the table holds: by what, inside of what, in which order, found by what."""
    direction = "up" if model.ascending else "down"
    pieces = [Piece(f"By {state.showing}", "title")]
    pieces += [Piece("  PAUSED", "warn")] if state.is_paused else []
    pieces.append(Piece(f"  sort {model.sort} {direction}"))
    if state.filter or state.is_editing:
        pieces += [Piece("  filter "), Piece(state.filter, "warn")]
        pieces.append(Piece(f"  {len(model.rows)} of {model.total}"))
    else:
        pieces.append(Piece(f"  {model.total} rows"))
    return (*pieces, *(Piece(f"  in {_described(row)}") for row in reversed(state.scopes)))


def _zone(zone: Zone) -> str:
    return f"{zone.name} {prose(zone.watts, WATTS)} (idle {prose(zone.idle_watts, WATTS)})"


def _described(row: Row) -> str:
    return f"{row.kind} {shortened(printable(row.name), _SCOPE_CELLS)}"
