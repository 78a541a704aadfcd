"""A package on a booted machine: upgraded while it counts, and removed to the last map."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.fresh.booted_machine import Booted, enter_network
from tests.live.in_kernel import assert_gone, in_kernel
from tests.live.pages import Watch, value_of

UNIT = "podjoule.service"
LOADS = 3


class WatchInside(Watch):
    """A watch on a machine's own network."""

    def __init__(self, machine: Booted) -> None:
        super().__init__()
        self._pid = machine.pid
        self.url = "http://127.0.0.1:28283"

    def _run(self) -> None:
        enter_network(self._pid)
        super()._run()


def upgrade_under_load(machine: Booted, upgrade: Callable[[], object]) -> None:
    """Nothing that ran meanwhile is lost, and no counter goes down."""
    with WatchInside(machine) as watch:
        start_loads(machine)
        time.sleep(3)
        before = machine.pid_of(UNIT)
        upgrade()
        assert machine.pid_of(UNIT) != before
        time.sleep(3)
        assert_all_is_counted(machine)
    assert watch.fallen == []
    assert watch.pages > 10
    page = machine.get("/metrics")
    assert value_of(page, 'podjoule_downtime_seconds_total{.*counted="true"') > 0
    assert value_of(page, 'podjoule_downtime_seconds_total{.*counted="false"') == 0


def remove_from_kernel(machine: Booted, remove: Callable[[], object]) -> None:
    """Nothing of it is in the kernel, once the package is gone."""
    held = in_kernel(machine.pid_of(UNIT))
    machine.run("systemctl kill --signal=KILL 'load-*'")
    remove()
    assert_gone(held)
    assert machine.run("ls /sys/fs/bpf").split() == ["maps.debug", "progs.debug"]


def start_loads(machine: Booted) -> None:
    """Units that use a third of a CPU, some of it in processes that come and go."""
    script = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.1; done"
    for number in range(LOADS):
        machine.run(f"systemd-run --quiet --unit=load-{number} sh -c '{script}'")


def used_seconds(machine: Booted, number: int) -> float:
    text = (machine.unit(f"load-{number}.service") / "cpu.stat").read_text()
    return int(text.split()[1]) / 1e6


def assert_all_is_counted(machine: Booted) -> None:
    """Have the loads stand still; every second that the kernel says they used is theirs on the page."""
    machine.run("systemctl kill --signal=STOP 'load-*'")
    used = [used_seconds(machine, number) for number in range(LOADS)]
    deadline = time.monotonic() + 30
    while True:
        page = machine.get("/metrics")
        counted = [
            value_of(page, rf'podjoule_cgroup_cpu_seconds_total{{cgroup="[^"]*load-{number}.service"')
            for number in range(LOADS)
        ]
        if counted == pytest.approx(used, rel=0.01, abs=0.02) or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert counted == pytest.approx(used, rel=0.01, abs=0.02)
    assert min(used) > 0.1
