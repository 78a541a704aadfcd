"""`podjoule record`: measure and write it down; see exporter.recording.recorder for what is in the files."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.commands.declaration import MEASURING, Command
from exporter.configuration.config import Config
from exporter.configuration.options import argument_type
from exporter.configuration.value_types import duration

if TYPE_CHECKING:
    from exporter.tick.measurement import Tick
    from exporter.tick.ticker import Round, Ticker

log = logging.getLogger("exporter.record")

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def record(config: Config, output: Path, max_bytes: int | None, duration_seconds: float | None) -> int:
    """Record until told to stop, or for so long: 0, or 1 where ticks were lost on the way to the disk.

    Processes are not told apart: the twin is by cgroup.
    """
    from estimator.machine.topology import read_topology
    from exporter.recording.recorder import attach, describe_machine  # needs pyarrow, which may not be there
    from exporter.recording.store import Store
    from exporter.tick.assembly import assemble
    from exporter.tick.ticker import Ticker

    topology = read_topology(config.host.sysfs)
    store = Store(output, max_bytes, describe_machine(config, topology))
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        store.open()
        measurement = assemble(_without_processes(config))
        stack.callback(measurement.close)
        recorder = attach(measurement, store, config, topology)
        log.info("recording into %s", output)
        _tick(Ticker(config, measurement, _ShowsNothing()), duration_seconds)
        return 0 if recorder.close() else 1


def parse_bytes(text: str) -> int:
    """A number of bytes such as 500000, 500M or 2Gi. Raises UsageError."""
    match = re.fullmatch(rf"(\d{{1,18}})({'|'.join(_UNITS)})", text)
    if match is None or not int(match[1]):
        raise UsageError(
            f"--max-bytes: found {text!r}; allowed: a number of bytes such as 500000, 500M or 2Gi"
        )
    return int(match[1]) * _UNITS[match[2]]


class _ShowsNothing:
    """A Publisher: what is recorded is taken on the way."""

    is_empty = True

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        """Nobody asks."""


def _tick(ticker: Ticker, duration_seconds: float | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ticker.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ticker.run(until=math.inf if duration_seconds is None else time.monotonic() + duration_seconds)


def _without_processes(config: Config) -> Config:
    prometheus = config.exporter.prometheus
    levels = tuple(level for level in prometheus.metrics_level if level != "process")
    exporter = replace(config.exporter, prometheus=replace(prometheus, metrics_level=levels))
    return replace(config, exporter=exporter)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="where the files go; made if need be"
    )
    parser.add_argument(
        "--max-bytes",
        type=parse_bytes,
        metavar="N",
        help="most bytes of them, the oldest go first (such as 500M; default no bound)",
    )
    parser.add_argument(
        "--duration",
        type=argument_type(duration(minimum=0.1), "--duration"),
        help="how long to record (default until stopped)",
    )


COMMAND = Command(
    "record",
    "measure and write it to Parquet files",
    lambda arguments, config: record(config, arguments.output, arguments.max_bytes, arguments.duration),
    (*MEASURING, "monitor.interval"),
    _add_arguments,
)
