"""`podjoule run` beside a Redfish service over TLS: its sums, a restart, a hang, a wrong password."""

from __future__ import annotations

import contextlib
import copy
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import Podjoule
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.bmc.conftest import Board
from tests.exporter.bmc.redfish_server import wait_until
from tests.exporter.bmc.vendors import CHASSIS, Shape, dell

pytestmark = pytest.mark.e2e

SECONDS = 30.0
HANG_SECONDS = 13.0
METRICS = f"{CHASSIS}/System.Embedded.1/EnvironmentMetrics"


class Machine:
    """Draws between 200 W and 400 W, in waves; its board counts watt-seconds, and each answer is kept."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.told: list[float] = []

    def __call__(self, *_: float) -> Mapping[str, Any]:
        seconds = time.monotonic() - self.began
        watts = 300.0 + 100.0 * math.sin(seconds / 3.0)
        kwh = round(5000.0 + (300.0 * seconds - 300.0 * math.cos(seconds / 3.0)) / 3.6e6, 6)
        found = copy.deepcopy(dict(dell(watts, kwh)))
        found[METRICS]["EnergykWh"]["Reading"] = kwh
        return found

    def joules(self) -> float:
        """What the board counts."""
        return float(self()[METRICS]["EnergykWh"]["Reading"]) * 3.6e6

    def watch(self, board: Board) -> None:
        """Keep what each answer to a reading says."""
        handle = board.server._show

        def show(request: Any) -> None:
            if request.path == METRICS:
                self.told.append(self.joules())
            handle(request)

        board.server._show = show  # type: ignore[method-assign]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def board(make_board: Callable[[Shape], Board], machine: Machine) -> Board:
    made = make_board(machine)
    machine.watch(made)
    return made


@pytest.fixture
def packages(tmp_path: Path) -> RaplTree:
    """No zone is there till a test adds one."""
    return RaplTree(tmp_path / "sys")


@pytest.fixture
def start(board: Board, tmp_path: Path, packages: RaplTree) -> Iterator[Callable[..., Podjoule]]:
    started: list[Podjoule] = []

    def run(*more: str) -> Podjoule:
        podjoule = Podjoule(
            *("--ebpf.loader=none", "--model=none", "--kube.enabled=false", "--kube.node-name=node-1"),
            *("--monitor.interval=500ms", "--platform.redfish.period=1s", "--log.level=debug"),
            *(f"--host.powercap={packages.root / 'class/powercap'}", f"--state.dir={tmp_path / 'state'}"),
            f"--platform.redfish.config-file={board.file}",
            *more,
            log=tmp_path / f"log-{len(started)}",
        )
        started.append(podjoule)
        return podjoule.__enter__()

    yield run
    for podjoule in started:
        podjoule.stop()
        assert "not-for-any-log" not in podjoule.log.read_text()


def sample(page: str, name: str, labels: str = "") -> float:
    found = re.findall(rf"^{name}(?:\{{[^}}]*{labels}[^}}]*\}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, found))


def total(podjoule: Podjoule) -> float:
    return sample(podjoule.metrics(), "kepler_node_cpu_joules_total", 'zone="platform"')


def is_told(joules: float, told: list[float]) -> bool:
    """Whether it is what the board counted up to one of its last answers, within two of the counter's steps.

    Its first answer only told that it can be asked this way.
    """
    return any(abs(joules - (each - told[1])) < 10.0 for each in told[-5:])


def test_its_sums_are_the_boards_and_a_restart_loses_nothing(
    start: Callable[..., Podjoule], board: Board, machine: Machine
) -> None:
    first = start()
    time.sleep(SECONDS)
    before, told = total(first), list(machine.told)
    assert first.stop() == 0
    assert (board.server.opened, board.server.ended, board.server.sessions) == (1, 1, {})
    assert before > 0.8 * 300.0 * SECONDS
    assert is_told(before, told)

    second = start()
    time.sleep(SECONDS)
    after, told = total(second), list(machine.told)  # also what was drawn in between
    assert after - before > 0.8 * 300.0 * SECONDS
    assert is_told(after, told)
    page = second.metrics()
    assert sample(page, "podjoule_platform_joules_total", 'bmc_id="bmc-1",chassis_id="System.Embedded.1"') > 0
    assert 199.0 <= sample(page, "kepler_platform_watts", 'source_type="EnvironmentMetrics"') <= 401.0
    assert sample(page, "podjoule_power_source_info", 'source="redfish"') == 1.0


@contextlib.contextmanager
def drawing(packages: RaplTree, machine: Machine) -> Iterator[None]:
    """Two packages draw 0.7 of what the wall does, less 60 W."""
    ended, before = threading.Event(), machine.joules()

    def draw() -> None:
        last, since = before, time.monotonic()
        while not ended.wait(0.05):
            joules, now = machine.joules(), time.monotonic()
            packages.advance_all(0.35 * (joules - last - 60.0 * (now - since)))
            last, since = joules, now

    for socket in (0, 1):
        packages.add_zone(f"intel-rapl:{socket}", f"package-{socket}", 10**9)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.alone
def test_beside_packages_the_wall_is_filled_and_the_books_balance(
    start: Callable[..., Podjoule], machine: Machine, packages: RaplTree
) -> None:
    with drawing(packages, machine):
        podjoule = start("--platform.redfish.period=4s")
        wait_until(lambda: total(podjoule) > 0)
        time.sleep(8)
        grown, began = [total(podjoule)], machine.joules()
        for _ in range(20):
            time.sleep(0.6)
            grown.append(total(podjoule))
        drawn, page = machine.joules() - began, podjoule.metrics()
    steps = [after - before for before, after in pairwise(grown)]
    assert sum(step > 0 for step in steps) >= 18  # in every tick, not in every eighth
    assert abs(grown[-1] - grown[0] - drawn) <= 0.5 * 400.0 + 0.05 * drawn  # a tick, and what is not told yet
    assert sample(page, "podjoule_energy_zone_info") == sample(
        page, "podjoule_energy_zone_info", 'zone="platform"'
    )
    assert sample(page, "podjoule_node_unattributed_joules_total", 'reason="rest",zone="platform"') > 0
    assert sample(page, "podjoule_conservation_error_ratio") <= 3e-9


@pytest.mark.alone
def test_a_board_that_hangs_holds_no_tick_and_nothing_is_lost(
    start: Callable[..., Podjoule], board: Board, machine: Machine
) -> None:
    def durations(seconds: float) -> list[float]:
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            found.append(sample(podjoule.metrics(), "podjoule_tick_duration_seconds"))
            time.sleep(0.5)
        return found

    podjoule = start()
    wait_until(lambda: total(podjoule) > 0)
    without = durations(6.0)
    ticks = sample(podjoule.metrics(), "podjoule_ticks_total")
    board.server.released.clear()
    hanging = durations(HANG_SECONDS)
    assert sample(podjoule.metrics(), "podjoule_ticks_total") - ticks >= HANG_SECONDS
    # the fastest: how long others take says how busy the machine is, and a tick that is held is none
    assert min(hanging) <= min(without) + 0.010
    assert "redfish: does not answer: waiting for it, ticks go on" in podjoule.log.read_text()
    before = total(podjoule)
    board.server.released.set()
    wait_until(lambda: total(podjoule) > before + 200.0 * HANG_SECONDS)
    wait_until(lambda: is_told(total(podjoule), machine.told))


def test_a_wrong_password_is_told_once_and_ticks_go_on(start: Callable[..., Podjoule], board: Board) -> None:
    board.write(password="wrong-not-for-any-log")
    podjoule = start()
    wait_until(lambda: "refuses the user and the password of bmcs.bmc-1" in podjoule.log.read_text())
    ticks = sample(podjoule.metrics(), "podjoule_ticks_total")
    time.sleep(5)
    page = podjoule.metrics()
    assert sample(page, "podjoule_ticks_total") > ticks + 4
    assert "not-for-any-log" not in page
    assert board.server.refused == 1
