"""`podjoule run`: measure and serve until told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable
from typing import NoReturn

from ebpf.errors import UsageError
from exporter.assembly import assemble
from exporter.config import Config, changes_needing_restart
from exporter.heap import keep_heap_small
from exporter.logs import set_up_logging
from exporter.page import RenderedPage
from exporter.register import Lifetimes
from exporter.server import Server
from exporter.ticker import Ticker
from exporter.web import Application

log = logging.getLogger("exporter.run")


class _Stage:
    """What the web shows: nothing until there is a ticker, then what it published."""

    ticker: Ticker | None = None

    @property
    def page(self) -> RenderedPage | None:
        return self.ticker.page if self.ticker else None

    def healthy(self) -> str | None:
        return self.ticker.healthy() if self.ticker else None


class _Reload:
    """Rereads the configuration at SIGHUP, in the tick's thread; a bad one is refused, the old one stays."""

    def __init__(self, ticker: Ticker, load: Callable[[], Config]) -> None:
        self._ticker = ticker
        self._load = load
        self._in_force = ticker.config  # of what takes effect at a restart only
        self._asked = False

    def ask(self) -> None:
        """May be called from a signal handler."""
        self._asked = True
        self._ticker.wake()

    def __call__(self) -> None:
        """Take over what has changed, if it was asked for."""
        if not self._asked:
            return
        self._asked = False
        try:
            config = self._load()
        except (UsageError, RecursionError) as error:  # YAML nested a thousand deep is the latter
            log.error("the configuration is not reread, the old one stays: %s", error)
            return
        self._take_over(config)

    def _take_over(self, config: Config) -> None:
        for key in changes_needing_restart(self._in_force, config):
            log.warning("%s has changed: it takes effect at a restart", key)
        if _by_process(config) and not _by_process(self._in_force):
            log.warning("processes are not told apart: the level process takes effect at a restart")
        set_up_logging(config.log.level, config.log.format)
        self._ticker.reconfigure(
            config, Lifetimes(terminated_ttl_seconds=config.monitor.terminated_ttl_seconds)
        )
        log.info("configuration reread")


def run(config: Config, load: Callable[[], Config]) -> int:
    """Serve until SIGTERM or SIGINT; load: reads the configuration anew, for SIGHUP.

    The addresses are taken first: a port that is in use fails before anything is loaded into the kernel.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the configuration has just been read
    keep_heap_small()
    stage = _Stage()
    server = Server(config.web.listen_addresses, Application(stage))
    server.bind()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        log.info("serving on %s", ", ".join(server.bound))
        measurement = assemble(config)
        stack.callback(measurement.close)
        ticker = Ticker(config, measurement)
        reload = _Reload(ticker, load)
        _on_signals(ticker, reload)
        stage.ticker = ticker
        ticker.run(before_tick=reload)
        log.info("stopping")
    return 0


def _leave(*_: object) -> NoReturn:
    """SIGTERM before the first tick: whatever is open is closed on the way out."""
    raise SystemExit(0)


def _by_process(config: Config) -> bool:
    return "process" in config.exporter.prometheus.metrics_level


def _on_signals(ticker: Ticker, reload: _Reload) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ticker.stop())
    signal.signal(signal.SIGHUP, lambda *_: reload.ask())
