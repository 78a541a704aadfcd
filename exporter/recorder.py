"""`podjoule record`: what was used and drawn, tick by tick, as Parquet files that last.

A recording is a directory with three tables, each one file an hour (UTC), the hour under way as one file a
minute. All counts are deltas over the interval that ends at the timestamp; null is 'not measured', never 0.

samples: one row an interval.
    timestamp_seconds (unix), node, interval_seconds, n_cpu (online), cpu_seconds, cycles, instructions,
    cache_misses, switches: of the whole node, idle excluded.
    <zone>_joules: measured, summed over the sockets; null where a part is missing or spans another interval.
    context: JSON, what was in force: exporter.moments.describe_context.

workloads: one row an interval, cgroup and socket; a socket that the cgroup did not run on has no row unless
it is the first one, so every cgroup that the tick knew is there.
    The columns of samples up to switches, then
    cgroup (path), container_id, pod_uid, container_name, pod_name, pod_namespace.
    socket: the physical number; null where the counters cannot tell sockets apart.
    cgroup_id, is_alive: whether the cgroup was still there at the end of the interval.
    cgroup and cgroup_id null: used by those that the kernel's map could not hold, one row a socket.

zones: one row an interval, zone and path.
    timestamp_seconds, node, interval_seconds (what the joules span: more than the tick after a failed read),
    zone, socket, path, joules, idle_watts (null where not established), low_joules, high_joules.

Where a timestamp is in samples, the other two have all of that tick.
"""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

from ebpf.errors import UsageError
from estimator.cpu_topology import CpuTopology, read_topology
from estimator.cpuinfo import read_processors
from exporter.arrow import UNREADABLE
from exporter.assembly import assemble
from exporter.config import Config
from exporter.measurement import Measurement
from exporter.moments import Moment, RecordedPower
from exporter.recording_files import Machine, hour_of
from exporter.recording_store import Store
from exporter.recording_tables import MeasuredZones, Names, tables

log = logging.getLogger("exporter.record")

_MINUTE_SECONDS = 60
# What is kept in memory while the disk cannot be written: an hour of ticks.
_MAX_PENDING = 720
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class Recorder:
    """Collects moments and writes them at the turn of each minute; whatever the disk does, `add` returns.

    A minute that cannot be written stays and is tried again with the next one. lost: ticks given up.
    """

    def __init__(self, store: Store, node: str, names: Callable[[], Names]) -> None:
        self.lost = 0
        self._store = store
        self._node = node
        self._names = names
        self._zones = MeasuredZones()
        self._pending: list[tuple[Moment, dict[str, float]]] = []
        self._failure = ""

    def add(self, moment: Moment) -> None:
        """Take a tick in; the first of another minute writes the last one."""
        if self._pending and _minute(self._pending[-1][0]) != _minute(moment):
            self.flush()
            self._store.compact(except_hour=hour_of(moment.timestamp_seconds))
        self._pending.append((moment, self._zones.cells(moment)))
        if len(self._pending) > _MAX_PENDING:
            self.lost += 1
            del self._pending[0]

    def flush(self) -> bool:
        """Write what is pending; False where it could not be and stays."""
        if not self._pending:
            return True
        moments, cells = zip(*self._pending, strict=True)
        try:
            self._store.write(tables(moments, cells, self._node, self._names()), moments[0].timestamp_seconds)
        except UNREADABLE as error:
            self._enter(f"cannot be written: {error}")
            return False
        self._enter("")
        self._pending.clear()
        return True

    def close(self) -> bool:
        """Write the rest and leave whole hours behind; False where something is lost."""
        written = self.flush()
        self._store.compact()
        if not written:
            self.lost += len(self._pending)
        if self.lost:
            log.error("%d ticks are lost: they could not be written in time", self.lost)
        return not self.lost

    def _enter(self, failure: str) -> None:
        if failure == self._failure:
            return
        self._failure = failure
        if failure:
            log.error("the recording %s; trying again every minute", failure)
        else:
            log.info("recording again")


def record(config: Config, output: Path, max_bytes: int | None, duration_seconds: float | None) -> int:
    """Record until told to stop, or for so long: 0, or 1 where ticks were lost on the way to the disk.

    Processes are not told apart: the twin is by cgroup.
    """
    topology = read_topology(config.host.sysfs)
    store = Store(output, max_bytes, describe_machine(config, topology))
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        store.open()
        measurement = assemble(_without_processes(config))
        stack.callback(measurement.close)
        recorder = attach(measurement, store, config, topology)
        log.info("recording into %s", output)
        _Loop(config.monitor.interval_seconds, duration_seconds).run(measurement.advance)
        return 0 if recorder.close() else 1


def attach(
    measurement: Measurement,
    store: Store,
    config: Config,
    topology: CpuTopology,
    clock: Callable[[], float] = time.time,
) -> Recorder:
    """Have a measurement recorded from its next tick on."""
    recorder = Recorder(store, config.kube.node_name, lambda: _names_in(measurement))
    power = RecordedPower(measurement.power, measurement.source, topology.physical_ids, recorder.add, clock)
    measurement.power = replace(measurement.power, source=power)
    return recorder


def describe_machine(config: Config, topology: CpuTopology) -> Machine:
    """What a replay must know of the machine."""
    processors = read_processors(config.host.procfs)
    return Machine(
        topology.physical_ids,
        tuple(
            (cpu.processor, cpu.vendor_id, cpu.model_name, cpu.physical_id, cpu.core_id) for cpu in processors
        ),
    )


def parse_bytes(text: str) -> int:
    """A number of bytes such as 500000, 500M or 2Gi. Raises UsageError."""
    match = re.fullmatch(rf"(\d{{1,18}})({'|'.join(_UNITS)})", text)
    if match is None or not int(match[1]):
        raise UsageError(
            f"--max-bytes: found {text!r}; allowed: a number of bytes such as 500000, 500M or 2Gi"
        )
    return int(match[1]) * _UNITS[match[2]]


class _Loop:
    """Ticks on a grid until a signal or the end. A tick that fails is logged once per kind of failure."""

    def __init__(self, interval_seconds: float, duration_seconds: float | None) -> None:
        self._interval_seconds = interval_seconds
        self._end = None if duration_seconds is None else time.monotonic() + duration_seconds
        self._failure = ""
        self._stop: SimpleQueue[None] = SimpleQueue()

    def run(self, tick: Callable[[], object]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.put(None))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        due = time.monotonic()
        self._tick(tick)
        while not self._is_over():
            due = max(due + self._interval_seconds, time.monotonic())
            if self._waited(due):
                return
            self._tick(tick)

    def _is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _waited(self, due: float) -> bool:
        """Wait for the next tick, which comes sooner at the end; True where we are to stop at once."""
        until = due if self._end is None else min(due, self._end)
        with contextlib.suppress(Empty):
            self._stop.get(timeout=max(0.0, until - time.monotonic()))
            return True
        return False

    def _tick(self, tick: Callable[[], object]) -> None:
        failure = ""
        try:
            tick()
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            log.debug("the tick failed", exc_info=True)
        if failure and failure != self._failure:
            log.error("the tick failed, the next one spans both: %s", failure)
        self._failure = failure


def _minute(moment: Moment) -> int:
    return int(moment.timestamp_seconds // _MINUTE_SECONDS)


def _without_processes(config: Config) -> Config:
    prometheus = config.exporter.prometheus
    levels = tuple(level for level in prometheus.metrics_level if level != "process")
    exporter = replace(config.exporter, prometheus=replace(prometheus, metrics_level=levels))
    return replace(config, exporter=exporter)


def _names_in(measurement: Measurement) -> Names:
    """The names that the ledger's accounts bear: the labels under which they are exported."""
    accounts = (
        *measurement.ledger.balances("container").accounts,
        *measurement.ledger.balances("pod").accounts,
    )
    return {account.key: (account.name, account.namespace) for account in accounts}
