"""How the hwmon meter is opened: both kinds of chips as one meter, in the time it may take, or why not."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.meters.hwmon import HwmonMeter, HwmonMeters
from estimator.meters.hwmon_rules import ChipRule, Measure
from estimator.meters.port import ZoneReading
from exporter.configuration.config import Config
from exporter.tick.hwmon_opening import open_hwmon_meters
from tests.estimator.meters import hwmon_boards as boards


def config(sysfs: Path, *rules: ChipRule, zones: tuple[str, ...] = ()) -> Config:
    plain = Config()
    return replace(
        plain,
        host=replace(plain.host, sysfs=sysfs),
        hwmon=replace(plain.hwmon, chip_rules=rules, zones=zones),
    )


def read_until(meter: HwmonMeters, enough: Callable[[list[ZoneReading]], bool]) -> list[ZoneReading]:
    readings: list[ZoneReading] = []
    deadline = time.monotonic() + 20
    while not enough(readings):
        assert time.monotonic() < deadline, readings
        time.sleep(0.02)
        readings += meter.read()
    return readings


def test_counters_and_powers_are_one_meter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    boards.graphics(tmp_path)
    meter = open_hwmon_meters(config(tmp_path))
    try:
        assert meter.zones == {"gpu"}
        readings = read_until(meter, lambda found: len({each.device for each in found}) == 3)
    finally:
        meter.close()
    assert {each.device: each.is_integrated for each in readings} == {
        "0000:03:00.0": False, "0000:04:00.0": False, "0000:41:00.0": True
    }  # fmt: skip
    assert "energy is measured: hwmon through hwmon0 (i915 at 0000:03:00.0)" in caplog.text


def test_a_power_is_added_up_between_ticks(tmp_path: Path) -> None:
    boards.orin_nx(tmp_path)
    meter = open_hwmon_meters(config(tmp_path, zones=("platform",)))
    try:
        readings = read_until(meter, lambda found: len(found) > 3)
    finally:
        meter.close()
    first, last = readings[0], readings[-1]
    seconds = (last.boottime_ns - first.boottime_ns) / 1e9
    assert (last.energy_uj - first.energy_uj) / 1e6 == pytest.approx(5.072 * 1.2 * seconds, rel=1e-3)


def test_what_hangs_when_it_is_opened_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boards.server(tmp_path)
    let_go = threading.Event()

    def hanging(*arguments: object, **named: object) -> object:
        let_go.wait(20)
        return HwmonMeter(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("exporter.tick.hwmon_opening.HwmonMeter", hanging)
    monkeypatch.setattr("exporter.tick.hwmon_opening._PATIENCE_SECONDS", 0.1)
    began = time.monotonic()
    meter = open_hwmon_meters(config(tmp_path))
    try:
        assert meter.read() == []
        assert time.monotonic() - began < 5
        assert meter.zones == {"platform"}
        let_go.set()
        assert read_until(meter, bool)[0].zone == "platform"
    finally:
        meter.close()


def test_a_machine_without_chips_that_measure_lacks_the_meter(tmp_path: Path) -> None:
    boards.raspberry_pi_5(tmp_path)
    with pytest.raises(MeterAbsent, match="no hwmon: no chip in"):
        open_hwmon_meters(config(tmp_path))


def test_what_the_user_asked_for_and_is_not_there_is_to_be_mended(tmp_path: Path) -> None:
    boards.server(tmp_path)
    with pytest.raises(MeterUnavailable, match=r"hwmon\.zones asks for dram alone") as refused:
        open_hwmon_meters(config(tmp_path, zones=("dram",)))
    assert not isinstance(refused.value, MeterAbsent)


def test_firmware_that_does_not_measure_serves_nothing(tmp_path: Path) -> None:
    boards.server(tmp_path, 0)
    with pytest.raises(MeterUnavailable, match="0 W for the whole machine"):
        open_hwmon_meters(config(tmp_path))


def test_what_is_not_known_is_asked_for_beside_what_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    boards.supplies(tmp_path)
    open_hwmon_meters(config(tmp_path, ChipRule("max20730", (Measure("core", "vout1"),)))).close()
    asked = [line for line in caplog.messages if line.startswith("hwmon: ")]
    assert [line.split(" has ")[0] for line in asked] == ["hwmon: hwmon3 (ina226 at 1-0044)"]


def test_without_any_chip_nothing_of_it_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from exporter.configuration.config import Config; from exporter.tick.meters import open_meters\n"
        "from estimator.machine.identity import read_identity\n"
        f"plain, sysfs = Config(), Path({str(tmp_path)!r})\n"
        "config = replace(plain, host=replace(plain.host, sysfs=sysfs))\n"
        "open_meters(config, read_identity(Path('/proc')))\n"
        "print([name for name in sys.modules if 'hwmon_t' in name or 'hwmon_c' in name])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
