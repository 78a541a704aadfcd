"""What is kept after the start, and that a failure to give up the rest stops nothing."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from ebpf.capabilities import CapabilitySets, mask_of
from exporter.configuration.config import Config
from exporter.configuration.guest_options import Vm
from exporter.configuration.option_tree import Ebpf, Exporters, Prometheus, State
from exporter.tick import privileges
from exporter.tick.privileges import give_up, still_needed

NEW, OLD = (6, 1), (5, 18)
EVERYTHING = (1 << 41) - 1


def hold(monkeypatch: pytest.MonkeyPatch, mask: int) -> list[CapabilitySets]:
    """Hold these capabilities, as far as the module can tell; what it writes instead."""
    wrote: list[CapabilitySets] = []
    monkeypatch.setattr(privileges, "read_sets", lambda: CapabilitySets(mask, mask, mask))
    monkeypatch.setattr(privileges, "write_sets", wrote.append)
    monkeypatch.setattr(privileges, "_prctl", lambda *_: None)
    return wrote


def test_files_of_others_are_still_read_and_nothing_else_is_kept() -> None:
    assert still_needed(Config(), NEW) == {"DAC_READ_SEARCH"}


def test_processes_of_others_have_an_executable_where_they_are_told_apart() -> None:
    config = Config(exporter=Exporters(Prometheus(metrics_level=("node", "process"))))
    assert still_needed(config, NEW) == {"DAC_READ_SEARCH", "SYS_PTRACE"}


@pytest.mark.parametrize(("held", "kept"), [(("BPF", "SYS_ADMIN"), "BPF"), (("SYS_ADMIN",), "SYS_ADMIN")])
def test_before_5_19_our_maps_are_read_with_what_loaded_them(
    monkeypatch: pytest.MonkeyPatch, held: tuple[str, ...], kept: str
) -> None:
    hold(monkeypatch, mask_of(held))
    assert still_needed(Config(), OLD) == {"DAC_READ_SEARCH", kept}
    assert still_needed(Config(ebpf=Ebpf(loader="none")), OLD) == {"DAC_READ_SEARCH"}


def test_a_directory_of_somebody_else_is_still_written_to(tmp_path: Path) -> None:
    ours = Config(state=State(dir=tmp_path / "not/there/yet"))
    assert still_needed(ours, NEW) == {"DAC_READ_SEARCH"}
    elsewhere = Path("/proc/1") if os.geteuid() else _given_away(tmp_path)
    assert "DAC_OVERRIDE" in still_needed(Config(state=State(dir=elsewhere / "state")), NEW)
    assert "DAC_OVERRIDE" in still_needed(Config(vm=Vm(elsewhere / "guests")), NEW)


def _given_away(folder: Path) -> Path:
    os.chown(folder, 1, 1)
    return folder


def test_what_is_kept_is_what_was_held_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrote = hold(monkeypatch, mask_of(["BPF", "PERFMON", "DAC_READ_SEARCH"]))
    with caplog.at_level(logging.INFO, "exporter.privileges"):
        give_up({"DAC_READ_SEARCH", "SYS_PTRACE"})
    left = mask_of(["DAC_READ_SEARCH"])
    assert wrote == [CapabilitySets(left, left, 0)]
    assert "capabilities given up; kept: CAP_DAC_READ_SEARCH" in caplog.messages


def test_without_any_there_is_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hold(monkeypatch, 0)
    with caplog.at_level(logging.INFO, "exporter.privileges"):
        give_up({"DAC_READ_SEARCH"})
    assert not [message for message in caplog.messages if "given up" in message]


def test_the_bounding_set_is_cut_where_we_may(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[int] = []
    for mask, expected in ((EVERYTHING, set(range(41)) - {2}), (EVERYTHING & ~(1 << 8), set())):
        hold(monkeypatch, mask)
        dropped.clear()
        monkeypatch.setattr(privileges, "_in_bounding_set", lambda bit: bit < 41)
        monkeypatch.setattr(
            privileges, "_prctl", lambda what, bit: dropped.append(bit) if what == 24 else None
        )
        give_up({"DAC_READ_SEARCH"})
        assert set(dropped) == expected


def test_a_failure_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> CapabilitySets:
        raise OSError(1, "capget: Operation not permitted")

    monkeypatch.setattr(privileges, "read_sets", refuse)
    give_up(frozenset())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "capget" in caplog.text


def test_threads_that_started_too_early_are_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    hold(monkeypatch, EVERYTHING)
    for thread in ("10", "11", "12"):
        (tmp_path / thread).mkdir()
    monkeypatch.setattr(privileges, "_TASKS", tmp_path)
    give_up(frozenset())
    assert "2 threads started too early keep their capabilities" in caplog.text
