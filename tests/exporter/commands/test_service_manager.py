"""What systemd hears on its socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.commands.service_manager import Announced, ServiceManager
from exporter.configuration.config import Config
from exporter.tick.measurement import Tick
from exporter.tick.ticker import Round


class Heard:
    """The socket of a service manager. address: as NOTIFY_SOCKET gives it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address.replace("@", "\0", 1))

    def words(self) -> list[str]:
        return self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Heard]:
    made = Heard(str(tmp_path / "notify") if request.param == "path" else f"@podjoule-{tmp_path}")
    yield made
    made.close()


def test_the_first_tick_makes_it_ready_and_each_feeds_the_watchdog(heard: Heard) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": "60000000"})
    manager.alive(5.0)
    assert set(heard.words()) == {"WATCHDOG=1", "READY=1"}
    manager.alive(5.0)
    assert heard.words() == ["WATCHDOG=1"]
    manager.stopping()
    assert heard.words() == ["STOPPING=1"]


def test_the_watchdog_waits_for_long_intervals(heard: Heard) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": "60000000"})
    manager.alive(600.0)
    assert "WATCHDOG_USEC=1830000000" in heard.words()
    manager.alive(600.0)
    assert heard.words() == ["WATCHDOG=1"]


def test_without_a_watchdog_it_says_once_that_it_is_ready(heard: Heard) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": heard.address})
    manager.alive(600.0)
    assert heard.words() == ["READY=1"]
    manager.alive(600.0)
    with pytest.raises(BlockingIOError):
        heard.words()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_it_serves_without_one(environ: dict[str, str]) -> None:
    manager = ServiceManager(environ)
    manager.alive(5.0)
    manager.stopping()


class Shown:
    """A publisher that fails if told to."""

    is_empty = False

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        if self._error:
            raise self._error


def test_a_tick_that_was_not_shown_is_not_announced(heard: Heard) -> None:
    config, manager = Config(), ServiceManager({"NOTIFY_SOCKET": heard.address})
    config = replace(config, monitor=replace(config.monitor, interval_seconds=1.0))
    with pytest.raises(OSError, match="full"):
        Announced(Shown(OSError("full")), manager).publish(None, config, lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(BlockingIOError):
        heard.words()
    Announced(Shown(), manager).publish(None, config, lambda: None)  # type: ignore[arg-type, return-value]
    assert heard.words() == ["READY=1"]
