"""One exporter after another over the same machine, under load, and what must hold then."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.servers import ROOT, Plant, Podjoule
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live import loads
from tests.live.pages import Watch, joules_of, seconds_of, value_of
from tests.live.sandbox import BUSY, Cgroup, stop

WATTS = 60.0
DOWN_SECONDS = 1.5
_SETTLED_SECONDS = 2.0  # until what ran last is on the page


def container(group: Cgroup, number: int) -> Cgroup:
    # not another test's: wherever their cgroups lie, containers with one id are one
    return group.child(f"{os.getpid():032x}{number:032x}").make()


def ping_pong(ping: Cgroup, pong: Cgroup) -> subprocess.Popen[bytes]:
    """Two processes on one CPU that wake each other, each in its own cgroup."""
    files = [str(pong.folder(version) / "cgroup.procs") for version in pong.mounts]
    return ping.python(loads.PING_PONG, *files, cpu=1)


class Restarted:
    """One exporter after another, over the same directories."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = (
            "--monitor.interval=500ms",
            "--kube.enabled=false",
            "--model.calibration=off",
            f"--host.sysfs={folder}/sys",
            f"--state.dir={folder}/state",
            *arguments,
        )
        self._n = 0

    def start(self, build: Path | None = None) -> Podjoule:
        self._n += 1
        environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(build or ROOT)}
        log = self._folder / f"log-{self._n}"
        return Podjoule(*self._arguments, log=log, environment=environment).__enter__()

    @property
    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("log-*")))


def rapl(folder: Path) -> RaplTree:
    tree = RaplTree(folder / "sys")
    tree.add_zone("intel-rapl:0", "package-0", 5_000_000)
    topology(tree.root)
    return tree


def topology(sysfs: Path) -> None:
    """This machine's CPUs, in a sysfs of a test's."""
    shutil.copytree(
        "/sys/devices/system/cpu", sysfs / "devices/system/cpu", ignore=_all_but_topology, symlinks=True
    )


def _all_but_topology(folder: str, names: list[str]) -> list[str]:
    keep = re.compile(r"cpu\d+|topology|physical_package_id|core_id|online|possible|present")
    return [name for name in names if not keep.fullmatch(name)]


def end(process: Podjoule, number: int) -> None:
    process.process.send_signal(number)
    process.process.wait(timeout=20)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is true at the end, and what the last page says of it.

    used_seconds: of each container's CPU time, as the kernel has it. drawn: joules of the machine meanwhile.
    busy_watts: of a CPU, all of which are busy.
    """

    page: str
    groups: Sequence[Cgroup]
    used_seconds: Sequence[float]
    drawn: float
    busy_watts: float

    def assert_told(self, joules_within: float) -> None:
        """Every second and joule is on the page; the kernel counted while nobody was there."""
        told_node = value_of(self.page, "kepler_node_cpu_joules_total")
        print(f"node {told_node:.3f} J, drawn {self.drawn:.3f}")
        assert told_node == pytest.approx(self.drawn, rel=0.005)
        for group, seconds in zip(self.groups, self.used_seconds, strict=True):
            told, joules = seconds_of(self.page, group), joules_of(self.page, group)
            print(f"{group.path[-2:]}: {told:.4f} of {seconds:.4f} s, {joules:.3f} J")
            assert told == pytest.approx(seconds, rel=0.005)
            assert joules == pytest.approx(self.busy_watts * seconds, rel=joules_within)
        assert value_of(self.page, r'podjoule_downtime_seconds_total{.*counted="true"') > DOWN_SECONDS
        assert value_of(self.page, r'podjoule_downtime_seconds_total{.*counted="false"') == 0


class UnderLoad:
    """Four containers that keep two CPUs busy, and a page that is watched.

    start: an exporter, the number of it. tree: what it reads the energy from.
    """

    def __init__(
        self, parent: Cgroup, watch: Watch, tree: RaplTree, start: Callable[[int], Podjoule]
    ) -> None:
        self.groups = [container(parent, number) for number in (1, 2, 3, 4)]
        self._watch, self._tree, self._start = watch, tree, start

    def restart(
        self, ends: Sequence[int], up_seconds: float, look: Callable[[Podjoule], object]
    ) -> tuple[Podjoule, Outcome]:
        """End each exporter by a signal and start the next; the last one, which runs, and how it came out.

        look: at each that is about to be ended.
        """
        process = self._started(0)
        started, began = self._drawn(), time.monotonic()
        with Plant(self._tree, {"intel-rapl:0": WATTS}):
            running = self._run()
            for number, signal in enumerate(ends, 1):
                time.sleep(up_seconds)
                look(process)
                end(process, signal)
                time.sleep(DOWN_SECONDS)
                process = self._started(number)
            time.sleep(up_seconds)
            stop(*running)
        seconds, drawn = time.monotonic() - began, self._drawn() - started
        time.sleep(_SETTLED_SECONDS)
        page = process.metrics()
        self._watch.look(page)
        used = [group.used_ns("v2") / 1e9 for group in self.groups]
        busy_watts = drawn / seconds / (os.cpu_count() or 1)
        return process, Outcome(page, self.groups, used, drawn, busy_watts)

    def _started(self, number: int) -> Podjoule:
        process = self._start(number)
        self._watch.url = process.url
        return process

    def _drawn(self) -> float:
        return self._tree.energy_uj("intel-rapl:0") / 1e6

    def _run(self) -> list[subprocess.Popen[bytes]]:
        first, second, ping, pong = self.groups
        steady = second.python(loads.STEADY, "0.2", cpu=1)
        return [first.python(BUSY, cpu=0), steady, ping_pong(ping, pong)]
