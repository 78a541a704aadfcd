"""`podjoule run`: measure and serve until told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from exporter.assembly import assemble
from exporter.config import Config
from exporter.heap import keep_heap_small
from exporter.page import RenderedPage
from exporter.privileges import give_up, still_needed
from exporter.reload import Reload
from exporter.ticker import Ticker
from exporter.web.application import Application
from exporter.web.opening import build_server

log = logging.getLogger("exporter.run")


class _Stage:
    """What the web shows: nothing until there is a ticker, then what it published."""

    ticker: Ticker | None = None

    @property
    def page(self) -> RenderedPage | None:
        return self.ticker.page if self.ticker else None

    def healthy(self) -> str | None:
        return self.ticker.healthy() if self.ticker else None


def run(config: Config, load: Callable[[], Config], file: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT; load: reads the configuration anew, when its file changes or at SIGHUP.

    The addresses are taken first: a port that is in use fails before anything is loaded into the kernel.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the configuration has just been read
    keep_heap_small()
    stage = _Stage()
    server = build_server(config.web, Application(stage))
    server.bind()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        # Capabilities belong to threads: they are given up before the second one is started.
        measurement = assemble(config, attached=lambda: give_up(still_needed(config)), is_lasting=True)
        stack.callback(measurement.close)
        server.start()
        log.info("serving on %s", ", ".join(server.bound))
        ticker = Ticker(config, measurement)
        reload = Reload(ticker, load, file)
        _on_signals(ticker, reload)
        stage.ticker = ticker
        ticker.run(before_tick=reload)
        log.info("stopping")
    return 0


def _leave(*_: object) -> NoReturn:
    """SIGTERM before the first tick: whatever is open is closed on the way out."""
    raise SystemExit(0)


def _on_signals(ticker: Ticker, reload: Reload) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ticker.stop())
    signal.signal(signal.SIGHUP, lambda *_: reload.ask())
