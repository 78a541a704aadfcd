"""A meter that blocks, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from estimator.errors import MeterUnavailable
from estimator.meters.background import BackgroundMeter
from estimator.meters.fake import FakeMeter, FakeTick
from estimator.meters.port import MeterError, PowerMeter, ZoneReading
from tests.estimator.usages import reading


class Blocking(FakeMeter):
    """Answers once it is let."""

    def __init__(self) -> None:
        super().__init__([])
        self.let, self.asked = threading.Semaphore(0), threading.Event()
        self.ticks = iter(range(1, 100))

    def read(self) -> list[ZoneReading]:
        self.asked.set()
        self.let.acquire()
        return [reading(next(self.ticks))]


def until(found: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.002)


@pytest.fixture
def blocking() -> Blocking:
    return Blocking()


def test_a_read_never_waits_and_hands_each_reading_out_once(blocking: Blocking) -> None:
    meter = BackgroundMeter("ipmi", lambda: blocking, 0.001, 60.0)
    assert meter.read() == []
    blocking.let.release()
    found: list[ZoneReading] = []
    until(lambda: found.extend(meter.read()) or found)  # type: ignore[func-returns-value]
    assert ([each.energy_uj for each in found], meter.read(), meter.zones) == ([1], [], {"package"})
    meter.close()
    blocking.let.release(2)
    until(lambda: blocking.is_closed)


def test_nothing_runs_before_the_first_read(blocking: Blocking) -> None:
    meter = BackgroundMeter("ipmi", lambda: blocking, 0.001, 60.0)
    assert not blocking.asked.wait(0.02)
    meter.close()


def test_one_that_hangs_is_an_error_in_each_tick_and_heard_again_once_it_answers(blocking: Blocking) -> None:
    now = [0.0]
    meter = BackgroundMeter("ipmi", lambda: blocking, 0.001, 10.0, clock=lambda: now[0])
    assert (meter.read(), meter.errors) == ([], [])
    blocking.asked.wait(5.0)
    now[0] = 10.5
    for _ in range(2):
        assert meter.read() == []
        assert meter.errors == [MeterError("ipmi", "does not answer: waiting for it, ticks go on", False)]
    blocking.let.release()
    until(meter.read)
    meter.close()
    blocking.let.release(2)


def test_one_that_cannot_be_opened_is_tried_again() -> None:
    tried: list[None] = []

    def opened() -> PowerMeter:
        tried.append(None)
        if len(tried) < 3:
            raise MeterUnavailable("no answer from the BMC: is it on?")
        return FakeMeter([[reading(7)]] * 1000)

    meter = BackgroundMeter("redfish", opened, 0.001, 60.0)
    said: set[str] = set()

    def heard() -> list[ZoneReading]:
        readings = meter.read()
        said.update(error.message for error in meter.errors)
        return readings

    until(heard)
    assert said == {"cannot be read: no answer from the BMC: is it on?"}
    assert len(tried) == 3
    meter.close()


def test_whatever_a_library_raises_the_thread_goes_on() -> None:
    ticks: list[FakeTick] = [RuntimeError("of a library"), KeyError("x"), [reading(7)]]
    fake = FakeMeter([*ticks, *[[reading(7)]] * 1000])
    meter = BackgroundMeter("nvml", lambda: fake, 0.001, 60.0)
    until(meter.read)
    meter.close()
    until(lambda: fake.is_closed)


def test_each_failure_waits_longer_for_the_next_try() -> None:
    asked: list[float] = []

    def refused() -> PowerMeter:
        asked.append(time.monotonic())
        raise OSError(111, "Connection refused")

    meter = BackgroundMeter("redfish", refused, 0.005, 60.0)
    meter.read()
    time.sleep(0.12)
    meter.close()
    assert 3 <= len(asked) <= 5  # 10, 20, 40 and 80 ms apart, where every 5 would be 24
