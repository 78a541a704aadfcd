"""The best source that the machine allows, and one line for each that it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf import libbpf, source
from ebpf.counters import CounterSource
from ebpf.cpu_stat import CpuStatSource
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy
from ebpf.program import MAPS, LoadedProgram, ProgramOptions
from ebpf.source import open_source

Loader = Callable[[ProgramOptions], LoadedProgram]


@pytest.fixture
def options(tmp_path: Path) -> ProgramOptions:
    (tmp_path / "cpu.stat").write_text("usage_usec 1\n")
    return ProgramOptions(Hierarchy(2, tmp_path))


def program(closed: list[str]) -> LoadedProgram:
    return LoadedProgram({}, {}, -1, 1, frozenset({"cpu_ns"}), lambda: closed.append("closed"))


def serving(tried: list[str], name: str) -> Loader:
    def load(_: ProgramOptions) -> LoadedProgram:
        tried.append(name)
        return program([])

    return load


def failing(tried: list[str], name: str) -> Loader:
    def load(_: ProgramOptions) -> LoadedProgram:
        tried.append(name)
        raise SourceUnavailable(f"no {name} here")

    return load


class Opened:
    """What stands for a source over a program."""

    def __init__(self, name: str, *_: object) -> None:
        self.name = name


def open_with(
    monkeypatch: pytest.MonkeyPatch, options: ProgramOptions, loader: str, serves: set[str]
) -> tuple[CounterSource, list[str]]:
    """The source, and the loaders tried on the way."""
    tried: list[str] = []
    loaders = {name: (serving if name in serves else failing)(tried, name) for name in source.LOADERS}
    monkeypatch.setattr(source, "LOADERS", loaders)
    monkeypatch.setattr(source, "open_program", Opened)
    return open_source(loader, options), tried


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_the_order_is_core_then_bcc() -> None:
    assert list(source.LOADERS) == ["core", "bcc"]


@pytest.mark.parametrize(
    ("serves", "chosen", "tried"),
    [
        ({"core", "bcc"}, "core", ["core"]),
        ({"bcc"}, "bcc", ["core", "bcc"]),
        (set(), "cpu.stat", ["core", "bcc"]),
    ],
)
def test_auto_takes_the_first_that_serves(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: ProgramOptions,
    serves: set[str],
    chosen: str,
    tried: list[str],
) -> None:
    opened, asked = open_with(monkeypatch, options, "auto", serves)
    assert (opened.name, asked) == (chosen, tried)
    failed = [name for name in tried if name not in serves]
    assert lines(caplog, logging.WARNING) == [
        f"{name}: no {name} here; trying the next source" for name in failed
    ]


def test_the_last_resort_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, options: ProgramOptions
) -> None:
    with caplog.at_level(logging.INFO, "ebpf"):
        opened, _ = open_with(monkeypatch, options, "auto", set())
    assert isinstance(opened, CpuStatSource)
    assert lines(caplog, logging.INFO) == ["counting CPU time from cpu.stat: no counters, no CPUs told apart"]


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_a_loader_that_was_named_has_no_stand_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, options: ProgramOptions, loader: str
) -> None:
    others = set(source.LOADERS) - {loader}
    with pytest.raises(SourceUnavailable, match=f"no {loader} here"):
        open_with(monkeypatch, options, loader, others)
    assert lines(caplog, logging.WARNING) == []


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_a_loader_that_was_named_is_the_only_one_tried(
    monkeypatch: pytest.MonkeyPatch, options: ProgramOptions, loader: str
) -> None:
    opened, tried = open_with(monkeypatch, options, loader, {"core", "bcc"})
    assert (opened.name, tried) == (loader, [loader])


def test_none_goes_straight_to_the_usage_files(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, options: ProgramOptions
) -> None:
    opened, tried = open_with(monkeypatch, options, "none", {"core", "bcc"})
    assert (opened.name, tried) == ("cpu.stat", [])
    assert lines(caplog, logging.WARNING) == []


def test_where_nothing_serves_the_last_reason_is_given(
    monkeypatch: pytest.MonkeyPatch, options: ProgramOptions, tmp_path: Path
) -> None:
    (tmp_path / "cpu.stat").unlink()
    with pytest.raises(SourceUnavailable, match=r"no cgroup below .* has a readable cpu\.stat"):
        open_with(monkeypatch, options, "auto", set())


def test_a_program_is_closed_if_no_source_can_be_made_of_it(
    monkeypatch: pytest.MonkeyPatch, options: ProgramOptions
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(source, "LOADERS", {"core": lambda _: program(closed)})
    with pytest.raises(KeyError):  # it has no maps
        open_source("core", options)
    assert closed == ["closed"]


def test_a_program_whose_maps_cannot_be_opened_is_one_that_does_not_serve(
    monkeypatch: pytest.MonkeyPatch, options: ProgramOptions
) -> None:
    try:
        libbpf.library()
    except SourceUnavailable as error:
        pytest.skip(f"needs libbpf: {error}")
    closed: list[str] = []
    broken = replace(program(closed), maps=dict.fromkeys(MAPS, -1))
    monkeypatch.setattr(source, "LOADERS", {"core": lambda _: broken})
    assert open_source("auto", options).name == "cpu.stat"
    assert closed == ["closed"]
