from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import ProcessCollector

from exporter.exposition import Renderer
from exporter.selfmetrics import process_families

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
    return {family.name: value for family in process_families(procfs) for value in family.values}


def test_a_tree_of_proc_reads_as_prometheus_client_reads_it(procfs: Path) -> None:
    collector = ProcessCollector(proc=str(procfs), registry=None)
    theirs = {sample.name: sample.value for metric in collector.collect() for sample in metric.samples}
    assert _values(procfs) == pytest.approx(theirs)


def test_names_help_and_types_are_prometheus_clients() -> None:
    theirs = {metric.name: metric for metric in ProcessCollector(registry=None).collect()}
    ours = process_families()
    assert {family.name.removesuffix("_total") for family in ours} == set(theirs)
    for family in ours:
        metric = theirs[family.name.removesuffix("_total")]
        assert (family.help, family.type) == (metric.documentation, metric.type)


def test_the_running_process_is_measured() -> None:
    values = _values(Path("/proc"))
    assert values["process_resident_memory_bytes"] > 1e6
    assert 3 <= values["process_open_fds"] < values["process_max_fds"]
    assert values["process_cpu_seconds_total"] == pytest.approx(sum(os.times()[:2]), abs=0.5)


@pytest.mark.parametrize(
    ("path", "text", "missing"),
    [
        ("self/stat", None, 4),
        ("self/stat", "1 (cut) S 1", 4),
        ("self/limits", None, 1),
        ("self/limits", "Max open files\n", 1),
        ("stat", "btime soon\n", 1),
    ],
)
def test_what_cannot_be_read_has_no_series(procfs: Path, path: str, text: str | None, missing: int) -> None:
    (procfs / path).unlink() if text is None else (procfs / path).write_text(text)
    assert len(_values(procfs)) == 6 - missing
    assert Renderer().render(process_families(procfs))


def test_without_proc_there_are_families_without_series(tmp_path: Path) -> None:
    assert len(process_families(tmp_path)) == 6
    assert not _values(tmp_path)


def test_no_limit_is_infinity(procfs: Path) -> None:
    (procfs / "self" / "limits").write_text(LIMITS.replace("1024     ", "unlimited"))
    assert _values(procfs)["process_max_fds"] == float("inf")
