"""The keys and the columns, explained over the table."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Static

from exporter.top.frame import NodeZone
from exporter.top.text import KEY

_HELP = (
    ("arrows, Page, Home, End", "move"),
    ("Enter, Right", "into the row: its pods, containers, processes"),
    ("u, Backspace, Left", "out again"),
    ("Tab, g, Shift-Tab", "by all, pod, container, namespace, unit, process"),
    ("w s j c i m o $ n", "sort by that column; once more turns it round"),
    ("<, >, r", "sort by the column beside; turn round"),
    ("/, Esc", "only rows with a text or regular expression; all"),
    ("p, Space", "hold the screen; measuring goes on"),
    ("q, Ctrl-C", "quit"),
    ("", ""),
    ("WATTS, SHARE", "over the last tick; of the node's active power"),
    ("JOULES", "since the measurement began"),
    ("CPU", "how many CPUs it kept busy"),
    ("IPC, MPKI", "instructions a cycle; cache misses per 1000 of them"),
    ("CO2E/H", "carbon an hour at this power"),
    ("-", "not known, which is not 0"),
)
_KEYS_CELLS = 24


def sources_told(zones: Sequence[NodeZone]) -> list[tuple[str, str]]:
    """Where each zone's energy comes from, and why from there."""
    told = [(zone.name, zone.source + (f": {zone.why}" if zone.why else "")) for zone in zones if zone.source]
    return [("", ""), *told] if told else []


class Help(ModalScreen[None]):
    """Goes with the next key; q quits here, too. zones: the node's."""

    def __init__(self, zones: Sequence[NodeZone] = ()) -> None:
        super().__init__()
        self._zones = zones

    DEFAULT_CSS = """
    Help {
        align: center middle;
        Static {
            width: auto;
            height: auto;
            padding: 0 1;
            border: round $secondary;
            background: $background;
        }
    }
    """

    def compose(self) -> ComposeResult:
        """One box."""
        told = [*_HELP, *sources_told(self._zones)]
        lines = [Content.assemble((f"{keys:<{_KEYS_CELLS}}", KEY), f" {what}") for keys, what in told]
        box = Static(Content("\n").join(lines))
        box.border_title = "podjoule top"
        yield box

    def on_key(self, event: Key) -> None:
        """Whatever key it is."""
        event.stop()
        event.prevent_default()
        self.dismiss()
        if event.key == "q":
            self.app.exit()
