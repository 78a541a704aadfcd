"""`podjoule replay`: the estimator and the exporter over a recording, with the same numbers as live.

What was counted and drawn comes from the recording through the ports of the live sources; sharing out,
booking and rendering are done anew. What the exporter says of itself (process_*, podjoule_component_*,
durations) is this process's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from ebpf.errors import UsageError
from estimator.cpu_topology import CpuTopology
from exporter.config import Config
from exporter.grid.choice import known_tariffs
from exporter.ledger import Ledger
from exporter.measurement import Measurement, Tick
from exporter.model_watch import CurrentCoefficients
from exporter.page import RenderedPage
from exporter.playback import Playback, RecordedResolver
from exporter.power import Power
from exporter.recording_files import Machine
from exporter.recording_reader import Recording
from exporter.register import Lifetimes
from exporter.sections import Host
from exporter.snapshot import describe, table
from exporter.ticker import Ticker
from exporter.web.application import Application
from exporter.web.opening import build_server

log = logging.getLogger("exporter.replay")

MAX_SPEED = math.inf


def replay(config: Config, directory: Path, speed: float, output: str) -> int:
    """Play a recording to its end, and at MAX_SPEED print the whole of it as snapshot does.

    At any other speed (1: as fast as it was recorded) /metrics is served meanwhile as by run, ended
    workloads going after their time. Time in which nothing was recorded is skipped. Raises UsageError
    where there is no recording.
    """
    recording = Recording(directory)
    with contextlib.ExitStack() as stack:
        host = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podjoule-replay-")))
        player = Player(config, recording, host, keep_all=speed == MAX_SPEED)
        if speed != MAX_SPEED:
            _serve(stack, config, player, speed)
        for _ in player.play(speed):
            pass
        log.info("the recording has ended after %d ticks", player.n_ticks)
        if speed == MAX_SPEED:
            sys.stdout.write(player.summary(output))
    return 0


def parse_speed(text: str) -> float:
    """A number above 0, or "max". Raises UsageError."""
    with contextlib.suppress(ValueError):
        if text == "max" or 0 < float(text) < math.inf:
            return MAX_SPEED if text == "max" else float(text)
    raise UsageError(f"--speed: found {text!r}; allowed: a number above 0, or max")


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
        self.ticker = Ticker(self.config, self.measurement)

    def play(self, speed: float = MAX_SPEED) -> Iterator[None]:
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
        )


class _Stage:
    """What the web shows of a player."""

    def __init__(self, player: Player) -> None:
        self._ticker = player.ticker

    @property
    def page(self) -> RenderedPage | None:
        return self._ticker.page

    def healthy(self) -> str | None:
        return self._ticker.healthy()


def _serve(stack: contextlib.ExitStack, config: Config, player: Player, speed: float) -> None:
    signal.signal(signal.SIGTERM, _leave)
    server = build_server(config.web, Application(_Stage(player)))
    server.bind()
    stack.callback(server.stop)
    server.start()
    log.info("serving on %s, at %g times the speed of the recording", ", ".join(server.bound), speed)


def _leave(*_: object) -> NoReturn:
    """SIGTERM: what is open is closed on the way out."""
    raise SystemExit(0)


def write_cpuinfo(procfs: Path, machine: Machine) -> None:
    """The recorded processors as /proc/cpuinfo, as far as kepler_node_cpu_info tells of them."""
    keys = ("processor", "vendor_id", "model name", "physical id", "core id")
    blocks = [
        "".join(f"{key}\t: {value}\n" for key, value in zip(keys, processor, strict=True))
        for processor in machine.processors
    ]
    procfs.mkdir()
    (procfs / "cpuinfo").write_text("\n".join(blocks))
