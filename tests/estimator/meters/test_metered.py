from __future__ import annotations

import logging

import pytest

from estimator.energy import SourceInfo, ZoneEnergy
from estimator.errors import MeterUnavailable
from estimator.meters.fake import FakeMeter, FakeTick
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError
from tests.estimator.usages import ANY_USAGE, reading

PATH = "intel-rapl:0"
FAILED = MeterError(PATH, "energy_uj failed: Input/output error", vanished=False)
GONE = MeterError(PATH, "energy_uj is gone: No such device", vanished=True)
JOULE = 1_000_000
NONE = {"read": 0, "gap": 0, "vanished": 0, "taken_back": 0, "still": 0, "owing": 0}


def played(*ticks: FakeTick) -> tuple[MeteredEnergy, list[list[float]]]:
    """The source after these ticks, and the joules of each."""
    source = MeteredEnergy(FakeMeter(ticks))
    return source, [[zone.joules for zone in source.measure(ANY_USAGE)] for _ in ticks]


def test_it_says_where_the_energy_is_from() -> None:
    assert MeteredEnergy(FakeMeter([], name="rapl")).info == SourceInfo("rapl")


def test_a_first_reading_is_no_energy_and_no_error() -> None:
    source, joules = played([reading(900 * JOULE)])
    assert joules == [[]]
    assert source.errors() == {**NONE, "read": 0, "gap": 0, "vanished": 0}


def test_the_second_reading_gives_the_difference_as_a_measured_energy() -> None:
    source = MeteredEnergy(FakeMeter([[reading(5 * JOULE, 10)], [reading(205 * JOULE, 15)]]))
    source.measure(ANY_USAGE)
    assert source.measure(ANY_USAGE) == [ZoneEnergy("package", 0, PATH, 200.0, 5.0, None, 200.0, 200.0)]


def test_two_counters_of_one_zone_and_socket_are_kept_apart() -> None:
    def dies(first: int, second: int, seconds: float) -> FakeTick:
        return [reading(first, seconds, path="die-0"), reading(second, seconds, path="die-1")]

    _, joules = played(dies(0, 9 * JOULE, 0), dies(3 * JOULE, 10 * JOULE, 5))
    assert joules == [[], [3, 1]]


def test_a_wrap_is_energy_and_no_error() -> None:
    top = 262_143_328_850
    source, joules = played([reading(top - JOULE + 1, 0)], [reading(2 * JOULE, 5)])
    assert joules == [[], [3]]
    assert not any(source.errors().values())


def test_a_failed_read_is_counted_and_the_next_spans_both_intervals() -> None:
    source = MeteredEnergy(FakeMeter([[reading(0, 0)], [FAILED], [reading(30 * JOULE, 10)]]))
    assert [source.measure(ANY_USAGE) for _ in range(2)] == [[], []]
    (energy,) = source.measure(ANY_USAGE)
    assert (energy.joules, energy.interval_seconds) == (30, 10)
    assert source.errors() == {**NONE, "read": 1, "gap": 0, "vanished": 0}


@pytest.mark.parametrize(
    "error", [OSError(5, "I/O"), TimeoutError("ipmi"), ValueError("x"), MeterUnavailable("y"), KeyError("z")]
)
def test_a_meter_that_raises_is_counted_and_nothing_is_lost(error: Exception) -> None:
    source, joules = played([reading(0, 0)], error, [reading(30 * JOULE, 10)])
    assert joules == [[], [], [30]]
    assert source.errors()["read"] == 1


def test_a_failing_zone_does_not_stop_the_others() -> None:
    other = [reading(joules * JOULE, seconds, path="dram") for joules, seconds in ((0, 0), (7, 5))]
    _, joules = played([reading(0, 0), other[0]], [FAILED, other[1]])
    assert joules == [[], [7]]


def test_a_gap_is_counted_and_its_energy_is_not() -> None:
    source, joules = played([reading(0, 0)], [reading(90_000 * JOULE, 5)], [reading(90_004 * JOULE, 10)])
    assert joules == [[], [], [4]]  # what was drawn since is known once the next reading goes on from it
    assert source.errors() == {**NONE, "read": 0, "gap": 1, "vanished": 0}


def test_a_zone_that_returns_is_a_gap_and_a_first_reading() -> None:
    source, joules = played(
        [reading(0, 0)], [GONE], [GONE], [reading(9 * JOULE, 15)], [reading(10 * JOULE, 20)]
    )
    assert joules == [[], [], [], [], [1]]
    assert source.errors() == {**NONE, "read": 0, "gap": 1, "vanished": 1}


def test_the_counts_handed_out_are_not_the_ones_counted_in() -> None:
    source, _ = played([FAILED])
    source.errors()["read"] = 99  # type: ignore[index]
    assert source.errors()["read"] == 1


def test_each_change_of_state_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="estimator.meters.metered")
    good = [[reading(tick * JOULE, 5 * tick)] for tick in range(1, 20)]
    played(
        good[0], good[1], [FAILED], [FAILED], [FAILED], good[5], good[6], [GONE], [GONE], good[9], good[10]
    )
    lines = [(record.levelname, record.getMessage().partition(": ")[2]) for record in caplog.records]
    assert lines == [
        ("WARNING", FAILED.message),
        ("INFO", "reading again"),
        ("WARNING", GONE.message),
        ("INFO", "reading again"),
    ]


def test_a_gap_in_every_tick_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    source, _ = played(*([reading(tick, 5 * tick, max_energy_uj=99)] for tick in range(6)))
    assert len(caplog.records) == 1
    assert "may have wrapped more than once" in caplog.text
    assert source.errors()["gap"] == 5


def test_what_was_drawn_while_the_machine_slept_is_told_apart() -> None:
    """Half an hour of sleep at 1.5 W between two ticks of 4 W."""
    slept = [0, 0, 1_800, 1_800]
    heights = [(0, 0), (20, 5), (20 + 2_700 + 20, 1_810), (20 + 2_700 + 40, 1_815)]
    meter = FakeMeter([[reading(height * JOULE, seconds)] for height, seconds in heights])
    source = MeteredEnergy(meter, lambda: slept.pop(0) * 1_000_000_000)
    _, awake, night, morning = (source.measure(ANY_USAGE) for _ in heights)
    assert (night[0].joules, night[0].interval_seconds) == (2_720, 1_805)
    assert (night[0].suspended_joules, night[0].suspended_seconds) == (2_700, 1_800)
    assert night[0].awake_seconds == 5
    assert [each[0].suspended_joules for each in (awake, morning)] == [0, 0]


def test_polls_between_two_ticks_add_up() -> None:
    meter = FakeMeter([[reading(height * JOULE, height)] for height in (0, 5, 12, 20)])
    source = MeteredEnergy(meter)
    source.measure(ANY_USAGE)
    source.poll()
    source.poll()
    (energy,) = source.measure(ANY_USAGE)
    assert (energy.joules, energy.interval_seconds) == (20, 20)


def test_another_process_goes_on_from_what_was_handed_on_whatever_was_read_since() -> None:
    heights = (0, 5, 12, 20)
    source = MeteredEnergy(FakeMeter([[reading(height * JOULE, height)] for height in heights]))
    source.measure(ANY_USAGE)
    source.poll()
    source.poll()
    next_process = MeteredEnergy(FakeMeter([[reading(20 * JOULE, 20)]]))
    next_process.resume(source.last)
    assert [each.joules for each in next_process.measure(ANY_USAGE)] == [20]
    assert [each.joules for each in source.measure(ANY_USAGE)] == [20]
    assert source.last[PATH].energy_uj == 20 * JOULE


@pytest.mark.parametrize("befell", [[GONE], [reading(1 * JOULE, 10)]], ids=["vanished", "began-anew"])
def test_no_process_compares_with_what_a_counter_told_before_it_was_another(befell: FakeTick) -> None:
    ticks = [[reading(900 * JOULE, 0)], [reading(930 * JOULE, 5)], befell, [reading(2 * JOULE, 15)]]
    source = MeteredEnergy(FakeMeter(ticks))
    source.measure(ANY_USAGE)
    for _ in range(3):
        source.poll()
    next_process = MeteredEnergy(FakeMeter([[reading(40 * JOULE, 20)]]))
    next_process.resume(source.last)
    (told,) = source.measure(ANY_USAGE)
    assert told.joules == 30 + (befell[0] is not GONE)
    assert source.errors()["gap"] == 1
    assert [each.joules for each in next_process.measure(ANY_USAGE)] == [38]


def test_a_zone_that_stands_still_is_no_measured_zero(caplog: pytest.LogCaptureFixture) -> None:
    still = [[reading(7 * JOULE, 5 * tick, zone="psys")] for tick in range(5)]
    source, joules = played(*still)
    assert joules == [[]] * 5
    assert source.errors()["still"] == 4
    assert caplog.text.count("stands still") == 1


def test_what_was_told_before_a_zone_went_is_not_lost() -> None:
    source = MeteredEnergy(FakeMeter([[reading(0, 0)], [reading(30 * JOULE, 5)], [GONE], []]))
    source.measure(ANY_USAGE)
    source.poll()
    assert [each.joules for each in source.measure(ANY_USAGE)] == [30]
    assert source.measure(ANY_USAGE) == []


def test_what_was_told_before_another_zone_took_the_place_keeps_its_name() -> None:
    other = [reading((10 + tick) * JOULE, 5 * tick, zone="dram") for tick in (2, 3)]
    source = MeteredEnergy(FakeMeter([[reading(0, 0)], [reading(30 * JOULE, 5)], [other[0]], [other[1]]]))
    source.measure(ANY_USAGE)
    source.poll()
    assert [(each.zone, each.joules) for each in source.measure(ANY_USAGE)] == [("package", 30)]
    assert [(each.zone, each.joules) for each in source.measure(ANY_USAGE)] == [("dram", 1)]


def test_a_value_that_cannot_be_one_is_counted_as_a_failed_read() -> None:
    source, joules = played([reading(0, 0)], [reading(101, 5, max_energy_uj=100)], [reading(30 * JOULE, 10)])
    assert joules == [[], [], [30]]
    assert source.errors() == {**NONE, "read": 1}
