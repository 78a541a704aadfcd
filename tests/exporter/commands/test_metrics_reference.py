from __future__ import annotations

from pathlib import Path

import pytest

from exporter.commands.metrics_reference import every_spec, reference, unit_of
from exporter.metrics.families import SPECS
from tests.exporter.nodes import Node

PAGE = Path(__file__).parents[3] / "deploy/METRICS.md"


def test_the_page_on_metrics_is_current() -> None:
    assert PAGE.read_text() == reference(every_spec()), "out of date: run make docs"


def test_every_family_is_in_it_once() -> None:
    page = PAGE.read_text()
    node = Node(idle_policy="even", levels=("node", "container", "pod", "vm"))
    exported = {name for name, _ in node.tick()} | {spec.name for spec in SPECS}
    for name in exported:
        assert page.count(f"| `{name}` |") == 1


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("kepler_node_cpu_joules_total", "joules"),
        ("kepler_node_cpu_watts", "watts"),
        ("kepler_node_cpu_usage_ratio", "ratio"),
        ("process_start_time_seconds", "seconds"),
        ("process_virtual_memory_bytes", "bytes"),
        ("podjoule_ticks_total", ""),
        ("kepler_node_cpu_info", ""),
    ],
)
def test_the_unit_is_in_the_name(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_no_family_is_there_twice_and_none_would_break_the_table() -> None:
    names = [spec.name for spec in every_spec()]
    assert len(set(names)) == len(names)
    assert not [spec.name for spec in every_spec() if "|" in spec.help or "\n" in spec.help]
