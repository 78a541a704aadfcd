from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from exporter.metrics.exposition import Renderer
from exporter.metrics.selfmetrics import OwnFamilies

STAT = "4321 (pod) joule (x) S " + " ".join(str(number) for number in range(1, 50))
LIMITS = "Limit            Soft Limit  Hard Limit  Units\nMax open files   1024        4096        files\n"


@pytest.fixture
def procfs(tmp_path: Path) -> Path:
    self_ = tmp_path / "self"
    (self_ / "fd").mkdir(parents=True)
    for number in range(3):
        (self_ / "fd" / str(number)).touch()
    (self_ / "stat").write_text(STAT)
    (self_ / "limits").write_text(LIMITS)
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1700000000\nprocesses 7\n")
    return tmp_path


def _values(procfs: Path) -> dict[str, float]:
    families = OwnFamilies(procfs).read()
    return {
        family.name: value
        for family in families
        for value in family.values
        if family.name.startswith("process_")
    }


def test_a_tree_of_proc_is_read(procfs: Path) -> None:
    page, ticks = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    assert _values(procfs) == pytest.approx(
        {
            "process_virtual_memory_bytes": 20.0,
            "process_resident_memory_bytes": 21.0 * page,
            "process_start_time_seconds": 1_700_000_000 + 19 / ticks,
            "process_cpu_seconds_total": (11 + 12) / ticks,
            "process_open_fds": 3.0,
            "process_max_fds": 1024.0,
        }
    )


def test_the_page_has_what_prometheus_clients_own_registry_has() -> None:
    ours = Renderer().render(OwnFamilies().read()).decode()
    theirs = generate_latest(REGISTRY).decode()
    assert _heads(ours) == _heads(theirs)
    assert sorted(line for line in ours.splitlines() if line.startswith("python_info")) == sorted(
        line for line in theirs.splitlines() if line.startswith("python_info")
    )


def _heads(page: str) -> set[str]:
    """HELP and TYPE, of what every Prometheus client in Python has."""
    return {
        line
        for line in page.splitlines()
        if line.startswith(("# HELP p", "# TYPE p")) and line.split()[2].startswith(("process_", "python_"))
    }


def test_the_running_process_is_measured() -> None:
    values = _values(Path("/proc"))
    assert values["process_resident_memory_bytes"] > 1e6
    assert 3 <= values["process_open_fds"] < values["process_max_fds"]
    assert values["process_cpu_seconds_total"] == pytest.approx(sum(os.times()[:2]), abs=0.5)


def test_collections_are_counted_by_generation() -> None:
    before = _collections()
    gc.collect()
    assert set(before) == {"0", "1", "2"}
    assert _collections()["2"] > before["2"]


def _collections() -> dict[str, float]:
    (family,) = [each for each in OwnFamilies().read() if each.name == "python_gc_collections_total"]
    return {labels[0]: value for labels, value in zip(family.labels, family.values, strict=True)}


@pytest.mark.parametrize(
    ("path", "text", "missing"),
    [
        ("self/stat", None, 4),
        ("self/stat", "1 (cut) S 1", 6),
        ("self/limits", None, 2),
        ("self/limits", "Max open files\n", 6),
        ("self/limits", "Limit\n", 6),
        ("stat", "btime soon\n", 6),
        ("stat", "cpu 1 2 3\n", 6),
    ],
)
def test_what_cannot_be_read_has_no_series(procfs: Path, path: str, text: str | None, missing: int) -> None:
    (procfs / path).unlink() if text is None else (procfs / path).write_text(text)
    assert len(_values(procfs)) == 6 - missing
    assert Renderer().render(OwnFamilies(procfs).read())


def test_without_proc_nothing_is_said_of_the_process(tmp_path: Path) -> None:
    assert not _values(tmp_path)
