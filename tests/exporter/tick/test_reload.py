"""A configuration that changes while we run: what is taken over, what is refused, when it is looked at."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Log, Monitor
from exporter.tick import reload as module
from exporter.tick.reload import FileWatch
from tests.exporter.nodes import NODE, Node, with_levels


class Reload:
    """A reload that was asked for, and what it logged."""

    def __init__(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        self._node, self._caplog = node, caplog
        self._answer: Config | Exception = node.config
        self._reload = module.Reload(node.ticker, self._load)
        caplog.set_level(logging.INFO)

    def __call__(self, answer: Config | Exception) -> list[str]:
        self._answer = answer
        self._caplog.clear()
        self._reload.ask()
        self._reload()
        logging.getLogger().setLevel(logging.INFO)
        return [record.getMessage() for record in self._caplog.records]

    def _load(self) -> Config:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def reload(handlers: None, caplog: pytest.LogCaptureFixture) -> Reload:
    return Reload(Node(), caplog)


def test_a_reload_takes_over_what_can_change(reload: Reload) -> None:
    node = reload._node
    config = replace(node.config, monitor=Monitor(interval_seconds=1.0), log=Log("info", "json"))
    assert reload(config) == ["configuration reread"]
    assert node.ticker.config is config


def test_nothing_is_reread_without_being_asked(reload: Reload) -> None:
    reload._answer = UsageError("must not be asked")
    reload._reload()
    assert not reload._caplog.records


def test_a_reload_that_fails_changes_nothing(reload: Reload) -> None:
    before = reload._node.ticker.config
    assert reload(UsageError("x.yaml:1: wrong")) == [
        "the configuration is not reread, the old one stays: x.yaml:1: wrong"
    ]
    assert reload._node.ticker.config is before


def test_what_takes_effect_at_a_restart_is_said_as_long_as_it_is_so(reload: Reload) -> None:
    config = reload._node.config
    changed = replace(config, model="none")
    said = ["model has changed: it takes effect at a restart", "configuration reread"]
    assert reload(changed) == said
    assert reload(changed) == said
    assert reload(config) == ["configuration reread"]


def test_the_level_process_needs_a_restart_and_that_is_said(reload: Reload) -> None:
    config = with_levels(reload._node.config, (*NODE, "process"))
    assert reload(config)[0].startswith("processes are not told apart")
    reload._node.tick()


def test_a_file_that_changes_is_seen_once(tmp_path: Path) -> None:
    file = tmp_path / "podjoule.yaml"
    file.write_text("log: {level: info}")
    watch = FileWatch(file)
    assert not watch.changed()
    file.write_text("log: {level: debug}")
    assert [watch.changed() for _ in range(2)] == [False, True]
    assert not watch.changed()


def test_a_file_that_is_being_written_has_not_changed_yet(tmp_path: Path) -> None:
    file = tmp_path / "podjoule.yaml"
    file.write_text("log: {level: info}\nmonitor: {terminatedTtl: 1h}")
    watch = FileWatch(file)
    for half in ("", "log: {level: info}\n", "log: {level: info}\nmonitor: {terminatedTtl: 2h}"):
        file.write_text(half)
        assert not watch.changed()
    assert watch.changed()


def test_a_config_map_that_kubernetes_swaps_is_seen(tmp_path: Path) -> None:
    """The kubelet writes a new directory and renames the link ..data over the old one."""
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "podjoule.yaml").write_text("log: {level: info}")
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "podjoule.yaml").symlink_to("..data/podjoule.yaml")
    watch = FileWatch(tmp_path / "podjoule.yaml")
    (tmp_path / "..data_tmp").symlink_to("..two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert [watch.changed() for _ in range(2)] == [False, True]


def test_a_file_that_is_gone_has_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "podjoule.yaml"
    file.write_text("{}")
    watch = FileWatch(file)
    file.unlink()
    assert not watch.changed()


def test_a_changed_file_is_reread_without_a_signal(
    tmp_path: Path, handlers: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "podjoule.yaml"
    file.write_text("one")
    node = Node()
    config = replace(node.config, monitor=Monitor(interval_seconds=1.0))
    reload = module.Reload(node.ticker, lambda: config, file)
    reload()
    assert node.ticker.config is not config
    file.write_text("two, and longer")
    reload()
    assert node.ticker.config is not config, "it may be half of what is to come"
    reload()
    assert node.ticker.config is config
