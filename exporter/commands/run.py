"""`podjoule run`: measure and serve until told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from ebpf.descriptors import raise_descriptor_limit
from exporter.commands.declaration import RUNNING, Command
from exporter.commands.service_manager import Announced, ServiceManager
from exporter.configuration.config import Config, config_file, load_config
from exporter.guests.opening import open_guests
from exporter.otlp.opening import open_pusher, open_sender
from exporter.restarts.opening import open_keeper
from exporter.serving.http.opening import build_server
from exporter.serving.page.application import Application
from exporter.serving.publisher import PagePublisher, Stage
from exporter.tick.assembly import assemble
from exporter.tick.heap import Thrift, keep_heap_small
from exporter.tick.privileges import give_up, still_needed
from exporter.tick.reload import Reload
from exporter.tick.ticker import Ticker

log = logging.getLogger("exporter.run")

_GRACE_SECONDS = 5.0  # for the tick under way, within what systemd (90 s) and Kubernetes (30 s) give


def run(config: Config, load: Callable[[], Config], file: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT; load: reads the configuration anew, when its file changes or at SIGHUP.

    The addresses are taken first: a port that is in use fails before anything is loaded into the kernel.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until there is a ticker: what is open is closed
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the configuration has just been read
    keep_heap_small()
    raise_descriptor_limit()
    stage = Stage()
    server = build_server(config.web, Application(stage))
    server.bind()
    sender = open_sender(config)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        # Capabilities belong to threads: they are given up before the second one is started.
        rights_go = partial(give_up, still_needed(config))
        measurement = assemble(config, rights_go, open_keeper(config), open_guests(config))
        stack.callback(measurement.close)
        server.start()
        log.info("serving on %s", ", ".join(server.bound))
        pusher = None
        if sender is not None:
            pusher = open_pusher(config, sender, is_kubernetes=measurement.pods.status() is not None)
            stack.callback(pusher.close)
            pusher.start()
            log.info("pushing to %s", config.otlp.endpoint)
        publisher = PagePublisher(config, measurement, outlet=pusher)
        manager = ServiceManager(os.environ)
        ticker = Ticker(config, measurement, Announced(publisher, manager))
        reload = Reload(ticker, load, file)
        _on_signals(ticker, reload)
        stage.ticker, stage.publisher = ticker, publisher
        ticker.run(before_tick=Thrift(reload))
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        log.info("stopping")
        manager.stopping()
    return 0


def _on_signals(ticker: Ticker, reload: Reload) -> None:
    def stop(*_: object) -> None:
        ticker.stop()
        signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGHUP, lambda *_: reload.ask())


def _give_up(*_: object) -> NoReturn:
    """A read that hangs is left where it is: raising here ends it, where returning would only repeat it."""
    log.error("the tick under way does not end: stopping without it")
    sys.exit(1)


COMMAND = Command(
    "run",
    "measure and serve /metrics",
    lambda arguments, config: run(
        config, lambda: load_config(arguments, os.environ), config_file(arguments, os.environ)
    ),
    RUNNING,
)
