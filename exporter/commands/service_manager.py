"""What systemd is told (sd_notify(3)): that the first tick is shown, that ticks go on, that it ends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter.configuration.config import Config
from exporter.tick.measurement import Tick
from exporter.tick.ticker import Publisher, Round

_SECONDS_WITHOUT_TICK = 30.0  # beyond what the interval asks for, before the watchdog may bite


class ServiceManager:
    """Who started us, if it wants to know; nobody where NOTIFY_SOCKET is not set. It never raises."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._patience_seconds = int(environ.get("WATCHDOG_USEC") or 0) / 1e6
        self._is_told = False

    def alive(self, interval_seconds: float) -> None:
        """A tick is shown; the watchdog, where there is one, waits for as many intervals as health does."""
        words = ["WATCHDOG=1"] if self._patience_seconds else []
        wanted = 3 * interval_seconds + _SECONDS_WITHOUT_TICK
        if self._patience_seconds and wanted > self._patience_seconds:
            self._patience_seconds = wanted
            words.append(f"WATCHDOG_USEC={wanted * 1e6:.0f}")
        if not self._is_told:
            self._is_told = True
            words.append("READY=1")
        self._say(words)

    def stopping(self) -> None:
        """It ends, as it should."""
        self._say(["STOPPING=1"])

    def _say(self, words: list[str]) -> None:
        if not self._address or not words:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.connect(self._address)
            to.send("\n".join(words).encode())


@dataclass(frozen=True, slots=True)
class Announced:
    """A publisher of whose ticks the service manager is told."""

    publisher: Publisher
    manager: ServiceManager

    @property
    def is_empty(self) -> bool:
        """See tick.ticker.Publisher."""
        return self.publisher.is_empty

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        """See tick.ticker.Publisher."""
        self.publisher.publish(tick, config, when)
        self.manager.alive(config.monitor.interval_seconds)
