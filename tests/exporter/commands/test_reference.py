from __future__ import annotations

from pathlib import Path

from exporter.commands.cli import every_command
from exporter.commands.reference import reference
from exporter.configuration.config import OPTIONS

PAGE = Path(__file__).parents[3] / "docs/configuration.md"


def test_the_page_on_configuration_is_current() -> None:
    assert PAGE.read_text() == reference(OPTIONS, every_command()), "out of date: run make docs"


def test_it_says_which_commands_take_a_flag() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    takers = {cells[1]: cells[-1] for cells in rows}
    assert takers["`--log.level`"] == "all"
    assert takers["`--web.max-requests`"] == "run, replay, doctor, config check"
    assert takers["`--ebpf.pin`"] == "run, snapshot, top, record, doctor, unpin, config check"
