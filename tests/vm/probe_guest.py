"""`podjoule run` in a machine whose host tells it its energy; see test_guest.py, which is the host."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.e2e.servers import Podjoule, ticks
from tests.live.sandbox import BUSY, Cgroup, cgroup, stop
from tests.vm.probe_exporter import books, running

SHARE = Path("/host")
MODULES = ("fs/netfs/netfs", "net/9p/9pnet", "net/9p/9pnet_virtio", "fs/9p/9p")
ZONES = {"package": "intel-rapl:0", "dram": "intel-rapl:0:2"}
INTERVAL_SECONDS, WINDOW_SECONDS, LONGEST_SECONDS = 1, 60, 120
LOADED = "guest: loaded"
"""What it prints once its cgroups work."""


def _mount() -> None:
    folder = Path("/lib/modules") / os.uname().release / "kernel"
    for module in MODULES:
        subprocess.run(["insmod", folder / f"{module}.ko"], check=True)
    SHARE.mkdir()
    options = "trans=virtio,version=9p2000.L,cache=none,ro"
    subprocess.run(["/bin/busybox", "mount", "-t", "9p", "-o", options, "host", SHARE], check=True)


def _told_uj() -> dict[str, int]:
    return {zone: int((SHARE / folder / "energy_uj").read_text()) for zone, folder in ZONES.items()}


def _wait_for_zones() -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not all((SHARE / folder / "energy_uj").exists() for folder in ZONES.values()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the host tells nothing: {[*SHARE.rglob('*')]}")
        time.sleep(0.5)


def _at_rest(podjoule: Podjoule) -> tuple[dict[str, int], str]:
    """What the host says and a page made of it: of a tick that began after the host wrote, and before it
    wrote again."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        before = _told_uj()
        seen = ticks(podjoule.metrics())
        while ticks(page := podjoule.metrics()) < seen + 2:
            time.sleep(0.1)
        if _told_uj() == before:
            return before, page
    raise TimeoutError(f"the host writes all the time:\n{podjoule.log.read_text()}")


def _cpu_ns(*groups: Cgroup) -> list[int]:
    return [group.used_ns("v2") for group in groups]


def _weigh(group: Cgroup, weight: int) -> None:
    """What a cgroup gets of a CPU, beside others."""
    group.folder("v2").parent.joinpath("cgroup.subtree_control").write_text("+cpu")
    (group.folder("v2") / "cpu.weight").write_text(f"{weight}")


def guest() -> dict[str, object]:
    """Two cgroups at 2:1 for a minute: what is exported between two moments at which nothing was written."""
    _mount()
    _wait_for_zones()
    arguments = (f"--host.powercap={SHARE}", f"--monitor.interval={INTERVAL_SECONDS}s")
    with cgroup("whole") as whole, cgroup("half") as half, running(*arguments) as podjoule:
        _weigh(whole, 200)
        _weigh(half, 100)
        loads = [whole.python(BUSY, cpu=1), half.python(BUSY, cpu=1)]
        first_uj, first = _at_rest(podjoule)
        began, cpu_ns = time.monotonic(), _cpu_ns(whole, half)
        print(f"\n{LOADED}", flush=True)
        time.sleep(WINDOW_SECONDS)
        last_uj, last = _at_rest(podjoule)
        seconds, used_ns = time.monotonic() - began, _cpu_ns(whole, half)
        stop(*loads)
        log = podjoule.log.read_text()
    return {
        "window_seconds": seconds,
        "first_uj": first_uj,
        "last_uj": last_uj,
        "first": {zone: books(first, zone) for zone in ZONES},
        "last": {zone: books(last, zone) for zone in ZONES},
        "cpu_seconds": [(used - before) / 1e9 for used, before in zip(used_ns, cpu_ns, strict=True)],
        "joules": [_of(last, group) - _of(first, group) for group in (whole, half)],
        "errors": [line for line in last.splitlines() if line.startswith("podjoule_power_errors_total{")],
        "source": [line for line in last.splitlines() if line.startswith("podjoule_power_source_info{")],
        "log": log,
    }


def _of(page: str, group: Cgroup) -> float:
    name = "podjoule_cgroup_cpu_joules_total{"
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(name) and f'cgroup="{group.path}"' in line and 'zone="package"' in line
    )
