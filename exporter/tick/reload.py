"""Taking over a configuration that has changed: at SIGHUP, or when its file is another one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ebpf.errors import UsageError
from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config, changes_needing_restart
from exporter.configuration.file_signature import Signature, signature
from exporter.configuration.logs import set_up_logging
from exporter.tick.ticker import Ticker

log = logging.getLogger("exporter.run")


class FileWatch:
    """Whether a file is another one than at the last look. None: there is no file to look at.

    It is one only when two looks have found the same: a file that is being written is not to be read.
    A ConfigMap's files are links that Kubernetes swaps: what a link leads to is what is compared.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = self._last = self._signature()

    def changed(self) -> bool:
        """Whether it has changed; a file that is gone for a moment has not."""
        found = self._signature()
        last, self._last = self._last, found
        if not found or found == self._seen or found != last:
            return False
        self._seen = found
        return True

    def _signature(self) -> Signature:
        return signature(self._path) if self._path else ()


class Reload:
    """Rereads the configuration when asked to or when its file changes, in the tick's thread.

    A bad one is refused, the old one stays. load: reads it anew. file: the configuration file, if any.
    """

    def __init__(self, ticker: Ticker, load: Callable[[], Config], file: Path | None = None) -> None:
        self._ticker = ticker
        self._load = load
        self._file = FileWatch(file)
        self._in_force = ticker.config  # of what takes effect at a restart only
        self._asked = False

    def ask(self) -> None:
        """May be called from a signal handler."""
        self._asked = True
        self._ticker.wake()

    def __call__(self) -> None:
        """Take over what has changed, if anything has."""
        asked, self._asked = self._asked, False
        if self._file.changed() or asked:
            self._reread()

    def _reread(self) -> None:
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
            config,
            Lifetimes(
                config.monitor.terminated_ttl_seconds, silence_seconds=config.kube.names_timeout_seconds
            ),
        )
        log.info("configuration reread")


def _by_process(config: Config) -> bool:
    return "process" in config.exporter.prometheus.metrics_level
