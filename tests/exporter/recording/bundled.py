"""`python -m tests.exporter.recording.bundled`: the recording that the notebooks run on, and its truth.

Half an hour of shop.py's node, written by what `podjoule record` runs: the powercap files are read, idle
power and weights are learned, cgroups get their names, and a recorder sits in the tick. Only the clock, the
kernel's counters and the powercap tree are made up, so the same seed gives the same recording. The exporter
had run for ten minutes before, as one with `--state.dir` has. Beside it, in recording_truth.csv, what each
workload really drew.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ebpf.fake import FakeCounterSource
from estimator.calibration.calibration import Calibration
from estimator.machine.topology import read_topology
from estimator.meters.metered import MeteredEnergy
from estimator.meters.powercap import PowercapMeter
from estimator.meters.several import SeveralMeters
from exporter.configuration.option_tree import Kube
from exporter.names.pods import ContainerInfo, DirectoryStatus, PodInfo
from exporter.recording.recorder import attach, describe_machine
from exporter.recording.store import Store
from exporter.tick.calibrated import CalibratedEnergy, CalibrationFile
from exporter.tick.model_watch import CurrentCoefficients
from exporter.tick.power import Power
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import Node
from tests.exporter.recording.shop import (
    IDLE_WATTS,
    INTERVAL_SECONDS,
    N_CPU,
    WORKLOADS,
    Shop,
    Workload,
    container_id,
    pod_uid,
)

FOLDER = Path(__file__).parents[2] / "data/recording"
TRUTH = "recording_truth.csv"
START = 1_795_269_600.0
"""2026-11-21T14:00:00Z."""
MINUTES, MINUTES_BEFORE = 30, 10
_ZONE_IDS = {"package": "intel-rapl:0", "dram": "intel-rapl:0:0"}
_NAMES = {"package": "package-0", "dram": "dram"}
_CPUINFO = """\
processor\t: {cpu}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Simulated CPU of tests/exporter/recording/shop.py
physical id\t: 0
core id\t\t: {cpu}
cpu cores\t: {n_cpu}
"""


class Bundled:
    """The node with its exporter. joules: what each workload truly drew since the recorder came, by zone."""

    def __init__(self, folder: Path) -> None:
        self._shop = Shop(start_minutes=-MINUTES_BEFORE)
        self._tree = RaplTree(folder / "sys")
        for zone, zone_id in _ZONE_IDS.items():
            self._tree.add_zone(zone_id, _NAMES[zone], 5_000_000_000)
        _write_cpus(folder)
        self._source = FakeCounterSource(n_cpu=N_CPU)
        self._node = self._start(folder)
        self.joules = {each.name: dict.fromkeys(IDLE_WATTS, 0.0) for each in WORKLOADS}
        self.cpu_seconds = {each.name: 0.0 for each in WORKLOADS}
        self._alive: set[str] = {"[kernel]"}

    def run(self, minutes: float) -> None:
        """So long, tick by tick."""
        for _ in range(round(minutes * 60 / INTERVAL_SECONDS)):
            self._live()
            self._node.advance(INTERVAL_SECONDS)

    def record(self, output: Path) -> None:
        """MINUTES into a directory, after MINUTES_BEFORE that nobody wrote down."""
        self._node.advance(0.0)
        self.run(MINUTES_BEFORE)
        self._forget()
        topology = read_topology(self._tree.root)
        store = Store(output, None, describe_machine(self._node.config, topology))
        store.open()
        recorder = attach(self._node.measurement, store, self._node.config, topology, self._now)
        self.run(MINUTES)
        recorder.close()
        store.close()

    def _live(self) -> None:
        used = self._shop.advance()
        for zone, zone_id in _ZONE_IDS.items():
            drawn = IDLE_WATTS[zone] * INTERVAL_SECONDS + sum(each.joules[zone] for each in used)
            self._tree.advance(zone_id, self._shop.shown(drawn))
        for at, (who, did) in enumerate(zip(WORKLOADS, used, strict=True)):
            if did.cpu_seconds:
                self._bring(who)
                self._source.use(
                    who.path,
                    did.cpu_seconds,
                    cpu=at % N_CPU,
                    cycles=did.cycles,
                    instructions=did.instructions,
                    cache_misses=did.cache_misses,
                )
            elif who.namespace == "analytics":
                self._end(who)
            self.cpu_seconds[who.name] += did.cpu_seconds
            for zone, joules in did.joules.items():
                self.joules[who.name][zone] += joules

    def _bring(self, who: Workload) -> None:
        if who.path not in self._alive:
            self._source.add(who.path)
            self._alive.add(who.path)

    def _end(self, who: Workload) -> None:
        """A job that is done, and its pod with it."""
        if who.path in self._alive:
            self._source.end(who.path)
            self._alive.remove(who.path)

    def _forget(self) -> None:
        for each in WORKLOADS:
            self.cpu_seconds[each.name] = 0.0
            self.joules[each.name] = dict.fromkeys(IDLE_WATTS, 0.0)

    def _now(self) -> float:
        return START - MINUTES_BEFORE * 60 + self._source.monotonic_ns / 1e9

    def _start(self, folder: Path) -> Node:
        """With what exporter.tick.power puts together where there is a meter."""
        meter = PowercapMeter(self._tree.root, clock=lambda: self._source.monotonic_ns)
        metered = SeveralMeters([MeteredEnergy(meter, lambda: 0)], clock=lambda: self._source.monotonic_ns)
        calibration = Calibration(read_topology(self._tree.root).socket_index)
        energy = CalibratedEnergy(metered, calibration, {}, CalibrationFile(None, ""))
        coefficients = CurrentCoefficients(energy.coefficients)
        return Node(
            zones=tuple(IDLE_WATTS),
            source=self._source,
            sysfs=self._tree.root,
            procfs=folder / "proc",
            pods=_Pods(),
            kube=Kube("shop-1"),
            power=Power(energy, coefficients, meter.close, calibration=calibration, meter=metered),
        )


class _Pods:
    """A PodDirectory that knows the shop's."""

    def __init__(self) -> None:
        self._known = {
            key: PodInfo(pod_uid(number), who.name, who.namespace, containers=_container(who, number))
            for number, who in enumerate(WORKLOADS, 1)
            for key in (pod_uid(number), container_id(number))
        }

    def lookup(self, key: str) -> PodInfo | None:
        return self._known.get(key)

    def status(self) -> DirectoryStatus:
        return DirectoryStatus({}, True, len(self._known) // 2)

    def close(self) -> None:
        """Nothing was opened."""


def _container(who: Workload, number: int) -> Mapping[str, ContainerInfo]:
    return {container_id(number): ContainerInfo(who.name.split("-")[0])}


def _write_cpus(folder: Path) -> None:
    root = folder / "sys/devices/system/cpu"
    root.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "online"):
        (root / name).write_text(f"0-{N_CPU - 1}\n")
    for cpu in range(N_CPU):
        place = root / f"cpu{cpu}/topology"
        place.mkdir(parents=True)
        (place / "physical_package_id").write_text("0\n")
    (folder / "proc").mkdir()
    blocks = [_CPUINFO.format(cpu=cpu, n_cpu=N_CPU) for cpu in range(N_CPU)]
    (folder / "proc/cpuinfo").write_text("\n".join(blocks))


def write(output: Path, truth: Path) -> None:
    """The recording into a directory, and what was true beside it."""
    output, truth = output.resolve(), truth.resolve()
    # From within: the paths of zones are recorded, and are to be the same each time.
    with tempfile.TemporaryDirectory(prefix="podjoule-bundled-") as folder, contextlib.chdir(folder):
        bundled = Bundled(Path())
        bundled.record(output)
    with truth.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["namespace", "workload", "cpu_seconds", *(f"{zone}_joules" for zone in IDLE_WATTS)])
        for who in WORKLOADS:
            joules = (f"{bundled.joules[who.name][zone]:.3f}" for zone in IDLE_WATTS)
            writer.writerow([who.namespace, who.name, f"{bundled.cpu_seconds[who.name]:.3f}", *joules])


def main() -> int:
    """Make it anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER)
    output = parser.parse_args().output
    shutil.rmtree(output, ignore_errors=True)
    write(output, output.with_name(TRUTH))
    return 0


if __name__ == "__main__":
    sys.exit(main())
