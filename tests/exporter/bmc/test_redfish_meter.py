from __future__ import annotations

from collections.abc import Callable

import pytest

from estimator.errors import MeterUnavailable
from estimator.meters.boards import BoardPower
from exporter.bmc.meter import RedfishMeter
from tests.exporter.bmc.conftest import Board
from tests.exporter.bmc.vendors import VENDORS, Shape

pytestmark = pytest.mark.e2e


def drawn(
    meter: RedfishMeter, board: Board, seconds: int, watts: Callable[[int], float]
) -> tuple[float, float, float]:
    """What the meter says of some seconds, its spread, and what was drawn, in joules; every ten of them."""
    first, last, truth, drawn = meter.read()[0], None, 0.0, 0.0
    for second in range(10, seconds + 1, 10):
        board.run(10.0, watts(second))
        drawn += 10.0 * watts(second)
        if readings := meter.read():
            last, truth = readings[0], drawn
    meter.close()
    assert last is not None
    return (last.energy_uj - first.energy_uj) / 1e6, (last.spread_uj - first.spread_uj) / 1e6, truth


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendors_shape_tells_the_machines_energy(
    make_board: Callable[[Shape], Board], vendor: str
) -> None:
    board = make_board(VENDORS[vendor])
    joules, spread, truth = drawn(board.meter(), board, 120, lambda _: 300.0)
    assert truth >= 25_000
    assert abs(joules - truth) <= (3600.0 if vendor == "dell" else 1e-3)  # its counter's step, 0.001 kWh
    assert spread == 0  # the power was steady


@pytest.mark.parametrize(
    ("vendor", "sources"),
    [
        ("dell", [("System.Embedded.1", "0", "PowerWatts", "EnvironmentMetrics", 300.0)]),
        ("hpe", [("1", "0", "", "PowerControl", 300.0)]),
        ("supermicro", [("1", "1", "PSU1", "PowerSupply", 180.0), ("1", "2", "PSU2", "PowerSupply", 120.0)]),
        ("lenovo", [("1", "1", "Server Power Control", "PowerControl", 300.0)]),
        ("openbmc", [("chassis", "0", "PowerWatts", "EnvironmentMetrics", 300.0)]),
    ],
)
def test_the_whole_machines_watts_are_shown_and_no_part_of_it_beside(
    make_board: Callable[[Shape], Board], vendor: str, sources: list[tuple[str, str, str, str, float]]
) -> None:
    board, shown = make_board(VENDORS[vendor]), BoardPower()
    meter = RedfishMeter(board.file, "node-1", 10.0, shown)
    meter.read()
    meter.close()
    assert [
        (each.chassis_id, each.source_id, each.source_name, each.source_type, each.watts)
        for each in shown.now()
    ] == sources
    assert {(each.source, each.bmc_id) for each in shown.now()} == {("redfish", "bmc-1")}


def test_where_only_watts_are_told_the_bounds_hold_the_truth(make_board: Callable[[Shape], Board]) -> None:
    board = make_board(VENDORS["hpe"])
    joules, spread, truth = drawn(board.meter(), board, 60, lambda second: 200.0 if second < 30 else 400.0)
    assert 0 < abs(joules - truth) <= spread + 1e-3
    assert spread == 500 + 1000  # 300 W, 200 W, 400 W: half of each change, for ten seconds


def test_a_counter_of_whole_kilowatt_hours_is_filled_by_watts(make_board: Callable[[Shape], Board]) -> None:
    board = make_board(VENDORS["openbmc"])
    meter = board.meter(60.0)
    first = meter.read()[0]
    for minute in range(1, 11):
        board.run(60.0, 1000.0 + minute)
        assert abs((meter.read()[0].energy_uj - first.energy_uj) / 1e6 - 60_000 * minute) <= 60_000 * 0.5
    meter.close()


def test_one_session_serves_all_and_is_ended(board: Board) -> None:
    meter = board.meter()
    for _ in range(5):
        meter.read()
        board.run(10.0, 300.0)
    assert (board.server.opened, len(board.server.sessions)) == (1, 1)
    meter.close()
    assert (board.server.ended, board.server.sessions) == (1, {})


def test_a_session_that_ran_out_is_opened_anew(board: Board) -> None:
    meter = board.meter()
    meter.read()
    board.server.expire()
    board.run(10.0, 300.0)
    assert meter.read()
    assert board.server.opened == 2
    assert board.server.refused == 0
    meter.close()


def test_a_service_without_sessions_is_asked_with_each_request(board: Board) -> None:
    board.server.takes_sessions = False
    meter = board.meter()
    assert meter.read()
    meter.close()
    assert board.server.opened == 0


@pytest.mark.parametrize("takes_sessions", [True, False])
def test_a_wrong_password_is_tried_once_and_told_without_it(board: Board, *, takes_sessions: bool) -> None:
    board.server.takes_sessions = takes_sessions
    board.write(password="wrong-not-for-any-log")
    meter = board.meter()
    for _ in range(20):
        with pytest.raises(MeterUnavailable) as refused:
            meter.read()
        board.seconds += 60
        assert "refuses the user and the password of bmcs.bmc-1" in str(refused.value)
        assert "not-for-any-log" not in f"{refused.value!r} {refused.value.__context__!r} {meter.__dict__}"
    assert board.server.refused == 1
    board.write()  # mended: at once, however long it would have waited
    assert meter.read()
    meter.close()


def test_a_password_that_is_changed_on_the_bmc_does_not_lock_the_account(board: Board) -> None:
    meter = board.meter()
    meter.read()
    board.server.password = "another-not-for-any-log"
    board.server.expire()
    for _ in range(20):
        board.seconds += 60
        with pytest.raises(MeterUnavailable, match="refuses"):
            meter.read()
    assert board.server.refused == 1


def test_a_bmc_without_a_free_session_is_told_and_not_taken_for_a_refusal(board: Board) -> None:
    board.server.most_sessions = 0
    meter = board.meter()
    with pytest.raises(MeterUnavailable, match="answered 503"):
        meter.read()
    board.server.most_sessions = 1
    board.seconds += 20
    assert meter.read()
    meter.close()


def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_password_is_sent(board: Board) -> None:
    board.write(caFile="")
    with pytest.raises(MeterUnavailable, match="caFile"):
        board.meter().read()
    assert board.server.asked == []
    board.write(caFile="", insecure=True)
    meter = board.meter()
    assert meter.read()
    meter.close()


@pytest.mark.parametrize("fault", [500, 503, 302])
def test_what_is_no_answer_is_told_and_the_next_one_counts_all(board: Board, fault: int) -> None:
    meter = board.meter()
    first = meter.read()[0]
    board.server.fault = fault
    board.run(10.0, 300.0)
    with pytest.raises(MeterUnavailable, match=rf"127\.0\.0\.1.*answered {fault}"):
        meter.read()
    board.server.fault = 0
    board.run(110.0, 300.0)
    last = meter.read()[0]
    assert abs(last.energy_uj - first.energy_uj - 36_000e6) <= 3600e6
    meter.close()


def test_an_answer_without_power_is_told_by_its_chassis(board: Board) -> None:
    meter = board.meter()
    meter.read()
    board.server.fault = 200
    board.run(10.0, 300.0)
    assert meter.read() == []
    assert [(error.path, error.vanished) for error in meter.errors] == [
        ("redfish/bmc-1/System.Embedded.1", False)
    ]
    board.server.fault = 0
    meter.close()


@pytest.mark.parametrize("watts", [-5.0, 1e9, float("nan"), float("inf")])
def test_watts_that_cannot_be_are_an_error_and_no_energy(
    make_board: Callable[[Shape], Board], watts: float
) -> None:
    board = make_board(VENDORS["lenovo"])
    meter = board.meter()
    first = meter.read()[0]
    board.seconds += 10
    board.server.watts = watts
    assert meter.read() == []
    assert "W, found" in meter.errors[0].message or "finite" in meter.errors[0].message
    board.seconds += 10
    board.server.watts = 300.0
    assert meter.read()[0].energy_uj - first.energy_uj == 6_000_000_000
    meter.close()


def test_a_bmc_that_has_nothing_newer_is_asked_less_often(board: Board) -> None:
    meter = board.meter()
    meter.read()
    asked = len(board.server.asked)
    for _ in range(360):
        board.seconds += 10
        meter.read()
    assert 60 <= len(board.server.asked) - asked <= 72  # of an hour
    meter.close()
