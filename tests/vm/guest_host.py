"""This machine as the host of a machine of ./kit: its podjoule tells the guest what it is billed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from estimator.meters.host_tree import MARK, SCHEMA
from exporter.guests.tree import PLACES, RANGE_UJ
from tests.e2e.servers import Plant, Podjoule, wait_for
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live.sandbox import Cgroup, cgroup
from tests.vm import machines, table
from tests.vm.findings import Answer
from tests.vm.probe_guest import LOADED, ZONES

UUID = "6c8a4f0e-55d5-4d7e-9f58-0d8a3c2b1e77"
INTERVAL_SECONDS = 6
# Little before the window and much in it: counters wrap in it whatever part of the machine the guest gets.
_CALM_WATTS, _WATTS = 2.0, 250.0
_WRAP_JOULES = 1_000.0
_SLOW_SECONDS = 240  # beside other machines
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_PARTS = {
    "billed": ("kepler_vm_cpu_joules_total", 'vm_name="guest"'),
    "total": ("kepler_node_cpu_joules_total", ""),
    "idle": ("kepler_node_cpu_idle_joules_total", ""),
    "vms": ("kepler_vm_cpu_joules_total", ""),
    "pods": ("kepler_pod_cpu_joules_total", ""),
    "containers": ("kepler_container_cpu_joules_total", 'pod_id=""'),
    "cgroups": ("podjoule_cgroup_cpu_joules_total", ""),
    "unattributed": ("podjoule_node_unattributed_joules_total", ""),
}


@dataclass
class Told:
    """What came of it. guest: its own finding. by_counter: what the host's page had, by zone, family and the
    counter that the guest could read at that time."""

    guest: Answer = field(default_factory=dict)
    by_counter: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)


def host_a_guest(folder: Path) -> Told:
    """Boot one, watch it from outside, and start the host's podjoule anew in the middle of its window."""
    told = Told({}, {zone: {} for zone in ZONES})
    watts = {"now": _CALM_WATTS}
    rapl = RaplTree(folder / "sys")
    rapl.add_zone("intel-rapl:0", "package-0", 1_000_000)
    rapl.add_zone("intel-rapl:0:0", "dram", 7_000_000)
    tree = _prepared(folder / "guests")
    drawing = Plant(rapl, lambda _: {"intel-rapl:0": watts["now"], "intel-rapl:0:0": watts["now"] / 10})
    with drawing, cgroup("host") as group, ThreadPoolExecutor(1) as booting, _podjoules(folder) as podjoules:
        scope = group.child("machine-qemu-1-guest.scope").make()
        booted = booting.submit(_boot, scope, tree)
        podjoule = next(podjoules)
        restart_at = None
        while not booted.done():
            _watch(podjoule, tree, told)
            if restart_at is None and LOADED in machines.words(machines.GUEST):
                watts["now"], restart_at = _WATTS, time.monotonic() + 25
            if restart_at is not None and time.monotonic() > restart_at:
                podjoule, restart_at = next(podjoules), float("inf")
        answers = booted.result()
        table.store(machines.GUEST, answers)
        told.guest = answers.get("guest", {"error": machines.last_words(machines.GUEST)})
        scope.remove()
        _wait_until_gone(tree / MARK)
        told.left = [path.name for path in tree.rglob("*")]
    told.logs = [log.read_text() for log in sorted(folder.glob("*.log"))]
    return told


def _prepared(share: Path) -> Path:
    """A directory as an administrator makes it before a machine starts; its counters wrap soon."""
    tree = share / UUID
    tree.mkdir(parents=True)
    base_uj = {"package": RANGE_UJ - int(_WRAP_JOULES * 1e6), "dram": RANGE_UJ - int(_WRAP_JOULES * 1e5)}
    (tree / MARK).write_text(json.dumps({"schema": SCHEMA, "base_uj": base_uj}))
    return tree


def _boot(group: Cgroup, tree: Path) -> dict[str, Answer]:
    share = f"local,path={tree},mount_tag=host,security_model=none,readonly=on"
    entering = [f"echo $$ > {group.folder(version)}/cgroup.procs" for version in group.mounts]
    through = ("sh", "-c", f'{" && ".join(entering)} && exec "$@"', "sh")
    return machines.ask(machines.GUEST, "-uuid", UUID, "-virtfs", share, through=through)


@contextmanager
def _podjoules(folder: Path) -> Iterator[Iterator[Podjoule]]:
    """One podjoule after the other, which goes on from the books of the one before."""
    arguments = (
        f"--host.powercap={folder}/sys/class/powercap",
        f"--vm.share-dir={folder}/guests",
        f"--state.dir={folder}/state",
        f"--monitor.interval={INTERVAL_SECONDS}s",
        "--kube.enabled=false",
    )
    running: list[Podjoule] = []

    def one_more() -> Iterator[Podjoule]:
        while True:
            for podjoule in running:
                podjoule.stop()
            running.append(Podjoule(*arguments, log=folder / f"host-{len(running)}.log"))
            wait_for(f"{running[-1].url}/-/ready", _SLOW_SECONDS)
            yield running[-1]

    try:
        yield one_more()
    finally:
        for podjoule in running:
            podjoule.stop()


def _watch(podjoule: Podjoule, tree: Path, told: Told) -> None:
    """The books of a moment at which nothing was written, beside the counters."""
    before = _counters_uj(tree)
    time.sleep(INTERVAL_SECONDS / 6)
    page = podjoule.metrics()
    time.sleep(INTERVAL_SECONDS / 6)
    if before and before == _counters_uj(tree):
        for zone, counter_uj in before.items():
            told.by_counter[zone][counter_uj] = books_of(page, zone)


def _counters_uj(tree: Path) -> dict[str, int]:
    files = {zone: tree / PLACES[zone][0] / "energy_uj" for zone in ZONES}
    return {zone: int(file.read_text()) for zone, file in files.items() if file.exists()}


def books_of(page: str, zone: str) -> dict[str, float]:
    """What the host's page says of a zone, by _PARTS."""
    samples = [(name, labels, float(value)) for name, labels, value in _SAMPLE.findall(page)]
    return {
        part: sum(
            value
            for name, labels, value in samples
            if name == family and f'zone="{zone}"' in labels and having in labels
        )
        for part, (family, having) in _PARTS.items()
    }


def _wait_until_gone(file: Path) -> None:
    deadline = time.monotonic() + 10 * INTERVAL_SECONDS
    while file.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
