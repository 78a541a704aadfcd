"""A board behind a node whose packages are metered: what is booked, tick by tick."""

from __future__ import annotations

from dataclasses import replace

import pytest

from estimator.meters.metered import MeteredEnergy
from exporter.tick.measurement import conservation_error
from tests.exporter.nodes import Counter, Node, container, in_pod, of

PATH = "redfish/bmc-1/1"
WALL_WATTS, PACKAGE_WATTS = 180.0, 100.0


class Wall:
    """A node with a package and a board that is read in every fourth tick, or when `read` says so."""

    def __init__(self, policy: str = "none") -> None:
        self.node = Node(rest_policy=policy)
        self.board = Counter("platform", None, PATH)
        self.ids = [self.node.source.add(path) for path in (container(1), in_pod(2), in_pod(3))]
        self.node.counters.append(self.board)
        self.node.source.use(in_pod(3), 0.001)  # it ran once
        self.node.advance()

    def tick(self, *, read: bool) -> float:
        """Five seconds; the conservation error of the worst zone."""
        for path, seconds in ((container(1), 3.0), (in_pod(2), 1.0)):
            self.node.source.use(path, seconds)
        self.node.draw(PACKAGE_WATTS * 5.0)
        self.board.draw(WALL_WATTS * 5.0)
        silent = [each for each in self.node.counters if each is not self.board]
        counters, self.node.counters[:] = list(self.node.counters), self.node.counters if read else silent
        tick = self.node.advance()
        self.node.counters[:] = counters
        return max(conservation_error(share) for share in tick.shares)

    def platform(self) -> float:
        return sum(
            zone.joules for zone in self.node.measurement.ledger.node.zones() if zone.zone == "platform"
        )

    def joules(self, zone: str) -> dict[str, float]:
        balances = self.node.measurement.ledger.balances("container")
        column = balances.zones.index(zone)
        return {
            account.workload.id[-1]: joules
            for account, joules in zip(balances.accounts, balances.joules[:, column].tolist(), strict=True)
        }


def test_the_wall_is_booked_in_every_tick_and_adds_up_to_the_board() -> None:
    wall, before = Wall(), 0.0
    for n in range(1, 61):
        assert wall.tick(read=n % 4 == 0) <= 1e-9
        booked = wall.platform()
        assert booked >= before
        if n > 8:
            assert booked - before == pytest.approx(WALL_WATTS * 5.0)
        if n % 4 == 0:
            assert booked == pytest.approx(WALL_WATTS * 5.0 * n)
        before = booked


def test_what_is_drawn_within_is_on_the_same_accounts_at_the_wall() -> None:
    wall = Wall()
    for n in range(1, 41):
        wall.tick(read=n % 4 == 0)
    package, platform = wall.joules("package"), wall.joules("platform")
    # the first reading's energy came with the fourth tick: what was drawn within before it is in its rest
    assert platform == pytest.approx({each: joules * 37 / 40 for each, joules in package.items()})
    unattributed = wall.node.measurement.ledger.node.unattributed()
    assert unattributed["platform", "rest"] > 30 * 5.0 * (WALL_WATTS - PACKAGE_WATTS)


@pytest.mark.parametrize(
    ("policy", "parts"),
    [("proportional", {"1": 0.75, "2": 0.25, "3": 0.0}), ("even", {"1": 1 / 3, "2": 1 / 3, "3": 1 / 3})],
)
def test_the_rest_goes_by_the_policy(policy: str, parts: dict[str, float]) -> None:
    wall = Wall(policy)
    for n in range(1, 41):
        assert wall.tick(read=n % 4 == 0) <= 1e-9
    before, package = wall.joules("platform"), wall.joules("package")
    for _ in range(3):
        wall.tick(read=False)
    grown = {each: joules - before[each] for each, joules in wall.joules("platform").items()}
    within = {each: joules - package[each] for each, joules in wall.joules("package").items()}
    rest = 3 * 5.0 * (WALL_WATTS - PACKAGE_WATTS)
    assert grown == pytest.approx({each: within[each] + rest * part for each, part in parts.items()})


def test_the_node_is_the_wall_once_it_is_measured_and_the_page_says_so() -> None:
    wall = Wall()
    for n in range(1, 13):
        wall.tick(read=n % 4 == 0)
    page = wall.node.tick()
    assert of(page, "podjoule_energy_zone_info", zone="platform") == 1.0
    assert of(page, "podjoule_platform_joules_total", source="redfish", bmc_id="bmc-1", chassis_id="1") > 0
    assert of(page, "podjoule_idle_method_info", zone="platform", method="inner_zones") == 1.0


def test_another_process_goes_on_without_a_joule_twice_or_lost() -> None:
    wall = Wall()
    for n in range(1, 15):  # the last two are filled
        wall.tick(read=n % 4 == 0)
    booked = wall.platform()
    first = wall.node.measurement
    first.power = replace(first.power, meter=first.power.source)  # type: ignore[arg-type]
    last = first.last_readings
    assert last[PATH].energy_uj / 1e6 == pytest.approx(booked)

    again = Node()
    again.counters = [replace(each) for each in wall.node.counters]
    for path in (container(1), in_pod(2), in_pod(3)):
        again.source.add(path)
    again.source.advance(wall.node.seconds())
    meter = again.measurement.power.source
    assert isinstance(meter, MeteredEnergy)
    meter.resume(last)
    again.measurement.advance()
    for _ in range(3):
        for counter, watts in zip(again.counters, (PACKAGE_WATTS, WALL_WATTS), strict=True):
            counter.draw(watts * 5.0)
        again.advance()
    after = sum(zone.joules for zone in again.measurement.ledger.node.zones() if zone.zone == "platform")
    assert booked + after == pytest.approx(WALL_WATTS * 5.0 * 17)
