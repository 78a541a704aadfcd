"""What was used and drawn, tick by tick, as Parquet files that last; `podjoule record` writes them.

A recording is a directory with three tables, each one file an hour (UTC), the hour under way as one file a
minute. All counts are deltas over the interval that ends at the timestamp; null is 'not measured', never 0.

samples: one row an interval.
    timestamp_seconds (unix), node, interval_seconds, n_cpu (online), cpu_seconds, cycles, instructions,
    cache_misses, switches: of the whole node, idle excluded.
    <zone>_joules: measured, summed over the sockets; null where a part is missing or spans another interval.
    context: JSON, what was in force: exporter.recording.moments.describe_context.

workloads: one row an interval, cgroup and socket; a socket that the cgroup did not run on has no row unless
it is the first one, so every cgroup that the tick knew is there.
    The columns of samples up to switches, then
    cgroup (path), container_id, pod_uid, container_name, pod_name, pod_namespace.
    socket: the physical number; null where the counters cannot tell sockets apart.
    cgroup_id, is_alive: whether the cgroup was still there at the end of the interval.
    cgroup and cgroup_id null: used by those that the kernel's map could not hold, one row a socket.

zones: one row an interval, zone and path.
    timestamp_seconds, node, interval_seconds (what the joules span: more than the tick after a failed read),
    zone, socket, path, joules, idle_watts (null where not established), low_joules, high_joules,
    suspended_seconds, suspended_joules (of both, what was slept through; earlier recordings have neither).

Where a timestamp is in samples, the other two have all of that tick.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from ebpf.state_log import StateLog
from estimator.machine.cpuinfo import read_processors
from estimator.machine.topology import CpuTopology
from exporter.configuration.config import Config
from exporter.recording.arrow import UNREADABLE
from exporter.recording.files import RecordedMachine, hour_of
from exporter.recording.moments import Moment, Names, RecordedPower
from exporter.recording.store import Store
from exporter.recording.tables import MeasuredZones, tables
from exporter.tick.measurement import Measurement

log = logging.getLogger("exporter.record")

_MINUTE_SECONDS = 60
# What is kept in memory while the disk cannot be written: an hour of ticks.
_MAX_PENDING = 720


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
        self._state = StateLog(
            log, "the recording cannot be written, trying again every minute", "recording again"
        )

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
            self._state.enter(str(error))
            return False
        self._state.enter("")
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


def describe_machine(config: Config, topology: CpuTopology) -> RecordedMachine:
    """What a replay must know of the machine."""
    processors = read_processors(config.host.procfs)
    return RecordedMachine(
        topology.physical_ids,
        tuple(
            (cpu.processor, cpu.vendor_id, cpu.model_name, cpu.physical_id, cpu.core_id) for cpu in processors
        ),
    )


def _minute(moment: Moment) -> int:
    return int(moment.timestamp_seconds // _MINUTE_SECONDS)


def _names_in(measurement: Measurement) -> Names:
    """The names that the ledger's accounts bear: the labels under which they are exported."""
    accounts = (
        *measurement.ledger.balances("container").accounts,
        *measurement.ledger.balances("pod").accounts,
    )
    return {account.key: (account.name, account.namespace) for account in accounts}
