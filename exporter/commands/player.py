"""A recording played: the estimator and the exporter over it, with the same numbers as live.

What was counted and drawn comes from the recording through the ports of the live sources; sharing out,
booking and rendering are done anew. What the exporter says of itself (process_*, podjoule_component_*,
durations) is this process's.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from estimator.machine.topology import CpuTopology
from exporter.books.ledger import Ledger
from exporter.books.row_lifetimes import Lifetimes
from exporter.commands.snapshot import describe, table
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Host
from exporter.recording.files import RecordedMachine
from exporter.recording.playback import Playback, RecordedResolver
from exporter.recording.reader import Recording
from exporter.serving.publisher import PagePublisher
from exporter.tariffs.choice import known_tariffs
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.model_watch import CurrentCoefficients
from exporter.tick.power import Power
from exporter.tick.ticker import Ticker


class Player:
    """A measurement and a ticker over a recording. host: an empty directory for the recorded /sys and /proc.

    keep_all: no workload goes before the end, so that the summary adds up.
    """

    def __init__(self, config: Config, recording: Recording, host: Path, keep_all: bool = False) -> None:
        self.n_ticks = 0
        self._recording = recording
        self._playback = Playback(recording.machine.sockets, recording.tells_sockets, host / "sys")
        self._elapsed_seconds = 0.0
        write_cpuinfo(host / "proc", recording.machine)
        self.config = replace(
            config,
            host=Host(host / "sys", host / "proc", host / "cgroup"),
            kube=replace(config.kube, node_name=recording.node),
        )
        ttl = config.monitor.terminated_ttl_seconds
        self.measurement = self._measure(
            Lifetimes(math.inf, sys.maxsize, self._playback.clock)
            if keep_all
            else Lifetimes(ttl, clock=self._playback.clock)
        )
        self.publisher = PagePublisher(self.config, self.measurement)
        self.ticker = Ticker(self.config, self.measurement, self.publisher)

    def play(self, speed: float = math.inf) -> Iterator[None]:
        """Tick by tick to the end; at a finite speed each takes as long as it did, divided by the speed."""
        started = time.monotonic()
        self.ticker.tick()  # the baseline: nothing is there yet
        for recorded in self._recording.ticks():
            self._elapsed_seconds += recorded.interval_seconds
            time.sleep(max(0.0, started + self._elapsed_seconds / speed - time.monotonic()))
            self._playback.step(recorded)
            self._keep_pace(recorded.interval_seconds / speed)
            self.n_ticks += 1
            self.ticker.tick()
            yield

    def _keep_pace(self, interval_seconds: float) -> None:
        """Whether ticks still come is judged by how often they did."""
        monitor = replace(self.config.monitor, interval_seconds=interval_seconds)
        self.ticker.config = replace(self.config, monitor=monitor)

    def summary(self, output: str) -> str:
        """All that was played; see snapshot.describe."""
        document = self._describe()
        return json.dumps(document, indent=1) + "\n" if output == "json" else table(document)

    def _describe(self) -> dict[str, object]:
        last = self.measurement.miss()
        usage = replace(last.usage, interval_seconds=self._elapsed_seconds)
        return {**describe(self.measurement, Tick(usage, [])), "zones": self._zones()}

    def _zones(self) -> dict[str, dict[str, float]]:
        node = self.measurement.ledger.node
        zones: dict[str, dict[str, float]] = {}
        for zone in node.zones():
            sums = zones.setdefault(
                zone.zone,
                dict.fromkeys(("total_joules", "idle_joules", "active_joules", "unattributed_joules"), 0.0),
            )
            sums["total_joules"] += zone.joules
            sums["idle_joules"] += zone.idle_joules
            sums["active_joules"] += zone.active_joules
        for (name, _), joules in node.unattributed().items():
            zones[name]["unattributed_joules"] += joules
        return zones

    def _measure(self, lifetimes: Lifetimes) -> Measurement:
        counters, energy = self._playback.counters, self._playback.energy
        resolver = RecordedResolver(counters.directory, self._playback)
        sockets = self._recording.machine.sockets
        indices = tuple(range(len(sockets)))
        return Measurement(
            config=self.config,
            source=counters,
            power=Power(
                energy,
                CurrentCoefficients(energy.coefficients),
                counters.close,
                energy.refused,
                self._playback.calibration,
            ),
            topology=CpuTopology(indices, indices, sockets),
            resolver=resolver,
            ledger=Ledger(resolver, counters.directory.is_alive, lifetimes),
            tariffs=known_tariffs(self.config.carbon, self.config.cost, self._playback.clock),
            wall=self._playback.clock,
        )


def write_cpuinfo(procfs: Path, machine: RecordedMachine) -> None:
    """The recorded processors as /proc/cpuinfo, as far as kepler_node_cpu_info tells of them."""
    keys = ("processor", "vendor_id", "model name", "physical id", "core id")
    blocks = [
        "".join(f"{key}\t: {value}\n" for key, value in zip(keys, processor, strict=True))
        for processor in machine.processors
    ]
    procfs.mkdir()
    (procfs / "cpuinfo").write_text("\n".join(blocks))
