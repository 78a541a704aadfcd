from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from estimator.errors import MeterUnavailable
from estimator.meters.hwmon import Hwmon, HwmonMeter
from estimator.meters.hwmon_rules import NO_ZONE, ChipRule, Measure
from estimator.meters.metered import MeteredEnergy
from estimator.meters.powercap_counter import read_file
from tests.estimator.meters import hwmon_boards as boards
from tests.estimator.usages import ANY_USAGE

Row = tuple[str, int | None, str, str]


class Clock:
    """CLOCK_BOOTTIME that stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 1.0

    def __call__(self) -> int:
        return round(self.seconds * 1e9)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    return tmp_path / "sys"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def read_of(board: Callable[[Path], object], sysfs: Path, sockets: tuple[int, ...] = (0,)) -> list[Row]:
    """Zone, socket, device and the file of each channel, of pairs the voltage's."""
    board(sysfs)
    channels = Hwmon(sysfs, sockets=sockets).choose().channels
    return [(each.zone, each.socket, each.device, Path(each.path).name) for each in channels]


def test_amds_energy_is_each_sockets_and_not_each_cores(sysfs: Path) -> None:
    assert read_of(boards.epyc, sysfs, (0, 1)) == [
        ("package", 0, "", "energy3_input"),
        ("package", 1, "", "energy4_input"),
    ]


def test_grace_says_which_part_each_of_its_meters_is_of(sysfs: Path) -> None:
    rows = read_of(boards.grace_hopper, sysfs)
    assert [(zone, socket) for zone, socket, *_ in rows] == [
        ("psys", None), ("package", 0), ("core", 0), ("uncore", 0)
    ]  # fmt: skip


def test_acpis_power_meter_is_the_platform_and_a_battery_is_nothing(sysfs: Path) -> None:
    assert read_of(boards.server, sysfs) == [("platform", None, "", "power1_average")]
    assert Hwmon(sysfs).choose().left_out == ()


def test_a_jetson_with_a_rail_for_all_has_a_platform_and_in_it_the_package(sysfs: Path) -> None:
    assert read_of(boards.orin_nx, sysfs) == [
        ("platform", None, "", "in1_input"),
        ("package", 0, "", "in2_input"),
        ("package", 0, "", "in3_input"),
    ]


def test_a_jetson_without_one_has_its_parts_and_what_is_not_connected_is_not_read(sysfs: Path) -> None:
    rows = read_of(boards.agx_orin, sysfs)
    assert [zone for zone, *_ in rows] == ["package", "package", "dram"]


def test_altras_cores_and_the_rest_of_each_soc_are_its_package(sysfs: Path) -> None:
    rows = read_of(boards.altra, sysfs, (0, 1))
    assert [(zone, socket) for zone, socket, *_ in rows] == [
        ("package", 0), ("package", 0), ("package", 1), ("package", 1)
    ]  # fmt: skip


def test_amperes_own_driver_counts_each_core(sysfs: Path) -> None:
    rows = read_of(boards.altra_counting, sysfs)
    assert [(zone, file) for zone, *_, file in rows] == [("core", f"energy{i}_input") for i in (1, 2, 3)]


def test_each_card_is_a_gpu_by_its_address_once_and_an_apu_is_none(sysfs: Path) -> None:
    assert read_of(boards.graphics, sysfs) == [
        ("gpu", None, "0000:03:00.0", "energy1_input"),
        ("gpu", None, "0000:04:00.0", "energy1_input"),
        ("gpu", None, "0000:41:00.0", "power1_average"),
    ]
    assert Hwmon(sysfs).choose().left_out == ()


def test_a_raspberry_pi_5_shows_no_current_and_so_no_power(sysfs: Path) -> None:
    assert read_of(boards.raspberry_pi_5, sysfs) == []
    assert "measures power or energy" in Hwmon(sysfs).why_empty()


def test_power_supplies_add_up_by_what_they_take_in(sysfs: Path) -> None:
    assert read_of(boards.supplies, sysfs) == [("platform", None, "", "power1_input")] * 2


def test_what_is_behind_a_monitor_that_only_the_board_knows_is_asked_for(sysfs: Path) -> None:
    boards.supplies(sysfs)
    regulator, shunt = Hwmon(sysfs).choose().left_out
    assert regulator.startswith("hwmon2 (max20730 at 1-0060) has voltage and current")
    assert shunt.startswith("hwmon3 (ina226 at 1-0044) has power1")
    assert shunt.endswith("say so in hwmon.chipRules")


def test_a_users_rule_tells_it_and_finds_the_pair_by_the_table(sysfs: Path) -> None:
    boards.supplies(sysfs)
    own = (
        ChipRule("INA226", (Measure("dram", "power*", is_shell=True),), device="1-0044"),
        ChipRule("max20730", (Measure("core", "vout1"),)),
    )
    told = {each.zone: each for each in Hwmon(sysfs, own).choose().channels}
    assert Path(told["dram"].path).name == "power1_input"
    assert [Path(file).name for file in told["core"].files] == ["in2_input", "curr1_input"]


def test_a_rule_of_pairs_alone_keeps_what_the_table_knows_and_one_of_zones_the_pairs(sysfs: Path) -> None:
    boards.orin_nx(sysfs)
    pairs = ChipRule("ina3221", pairings={1: 3})
    (channel,) = Hwmon(sysfs, (pairs,)).choose().channels
    assert (channel.zone, Path(channel.files[1]).name) == ("platform", "curr3_input")
    told = Hwmon(sysfs, (ChipRule("ina3221", (Measure("dram", "in2"),)),)).choose().channels
    assert [Path(file).name for each in told for file in each.files] == ["in2_input", "curr2_input"]


def test_a_users_rule_goes_before_the_table_and_for_its_device_alone(sysfs: Path) -> None:
    boards.supplies(sysfs)
    own = (ChipRule("dps920ab", (Measure(NO_ZONE, "*", is_shell=True),), device="1-0059"),)
    platform = [each for each in Hwmon(sysfs, own).choose().channels if each.zone == "platform"]
    assert ["1-0058" in each.chip for each in platform] == [True]


@pytest.mark.parametrize(
    ("rule", "pairs"),
    [
        (ChipRule("odd", (Measure("core", ".*"),)), [(1, 2)]),
        (ChipRule("odd", (Measure("core", ".*"),), is_same_index=True), [(1, 1), (2, 2)]),
        (ChipRule("odd", (Measure("core", ".*"),), pairings={0: 1}), [(0, 1)]),
        (ChipRule("odd", (Measure("core", ".*"),), skip_currents=frozenset({2})), []),
        (
            ChipRule(
                "odd", (Measure("core", ".*"),), is_same_index=True, skip_voltages=frozenset({1})
            ),
            [(2, 2)],
        ),
    ],
)  # fmt: skip
def test_voltages_and_currents_are_paired_by_rule_else_by_label_else_by_index(
    sysfs: Path, rule: ChipRule, pairs: list[tuple[int, int]]
) -> None:
    labels = {"in0_label": "aux", "in1_label": "vin", "in2_label": "vmon"}
    labels |= {"curr1_label": "ishunt", "curr2_label": "iin"}
    values = {f"in{i}_input": 1000 for i in range(3)} | {f"curr{i}_input": 500 for i in (1, 2)}
    boards.HwmonTree(sysfs).add("odd", {**labels, **values})
    found = [[Path(file).name for file in each.files] for each in Hwmon(sysfs, (rule,)).choose().channels]
    assert found == [[f"in{voltage}_input", f"curr{current}_input"] for voltage, current in pairs]


def test_energy_goes_before_power_and_power_before_current_times_voltage(sysfs: Path) -> None:
    tree = boards.HwmonTree(sysfs)
    rail = {"in1_input": 1000, "curr1_input": 1000}
    kinds = {
        "a": rail,
        "b": {**rail, "power1_input": 1},
        "c": {**rail, "power1_input": 1, "energy1_input": 1},
    }
    rules = []
    for zone, (name, files) in zip(("core", "uncore", "dram"), kinds.items(), strict=True):
        tree.add(name, files)
        rules.append(ChipRule(name, (Measure(zone, ".*"),)))
    channels = Hwmon(sysfs, tuple(rules)).choose().channels
    assert {each.zone: each.kind for each in channels} == {
        "core": "product", "uncore": "power", "dram": "energy"
    }  # fmt: skip


def test_of_two_names_for_one_zone_the_table_prefers_one_and_says_so(sysfs: Path) -> None:
    boards.server(sysfs)
    chip = sysfs / "devices/i2c-1/1-0058/hwmon/hwmon7"
    chip.mkdir(parents=True)
    (sysfs / "class/hwmon/hwmon7").symlink_to(chip)
    (chip / "device").symlink_to("../..")
    for file, text in {"name": "dps920ab", "power1_label": "pin", "power1_input": "9"}.items():
        (chip / file).write_text(text)
    choice = Hwmon(sysfs).choose()
    assert [Path(each.path).name for each in choice.channels] == ["power1_average"]
    assert choice.left_out == ("hwmon7 (dps920ab at 1-0058) measures platform too; power_meter is taken",)


@pytest.mark.parametrize("wanted", ["package", "vdd_soc", "VDD_SOC", "in3"])
def test_only_what_is_asked_for_is_read_by_zone_label_or_id(sysfs: Path, wanted: str) -> None:
    boards.orin_nx(sysfs)
    channels = Hwmon(sysfs, wanted=(wanted,)).choose().channels
    assert {each.zone for each in channels} == {"package"}
    assert len(channels) == (2 if wanted == "package" else 1)


def test_what_was_asked_for_and_is_not_there_is_named(sysfs: Path) -> None:
    boards.orin_nx(sysfs)
    assert "hwmon.zones asks for dram alone" in Hwmon(sysfs, wanted=("dram",)).why_empty()


def powers(sysfs: Path, clock: Clock) -> HwmonMeter:
    return HwmonMeter(Hwmon(sysfs).powers, clock=clock, rescan_reads=1)


def test_a_counter_of_hwmon_can_be_gone_on_from_and_a_power_cannot(sysfs: Path, clock: Clock) -> None:
    boards.graphics(sysfs)
    counted = HwmonMeter(Hwmon(sysfs).counted, clock=clock).read()
    assert [(each.energy_uj, each.can_be_resumed) for each in counted] == [(11, True), (22, True)]
    meter = powers(sysfs, clock)
    clock.seconds += 1
    assert [(each.energy_uj, each.can_be_resumed) for each in meter.read()] == [(90_000_000, False)]


def test_volts_times_amperes_are_integrated(sysfs: Path, clock: Clock) -> None:
    boards.orin_nx(sysfs)
    meter = powers(sysfs, clock)
    clock.seconds += 2
    drawn = {Path(each.path).name: each.energy_uj for each in meter.read()}
    assert drawn["in1_input"] == round(2 * 5.072 * 1.2 * 1e6)


def test_a_power_that_changes_is_uncertain_by_half_of_it(sysfs: Path, clock: Clock) -> None:
    place = boards.server(sysfs, 100_000_000)
    meter = powers(sysfs, clock)
    (place / "power1_average").write_text("200000000\n")
    clock.seconds += 1
    (reading,) = meter.read()
    assert (reading.energy_uj, reading.spread_uj) == (150_000_000, 50_000_000)


def test_a_power_is_read_as_often_as_it_is_measured(sysfs: Path, clock: Clock) -> None:
    boards.server(sysfs)
    meter = powers(sysfs, clock)
    read = [bool(meter.read()) for clock.seconds in (1.1, 1.5, 2.0, 2.1, 3.0)]
    assert read == [False, False, True, False, True]


def test_what_takes_long_is_read_more_rarely(sysfs: Path, clock: Clock) -> None:
    boards.orin_nx(sysfs)

    def slowly(descriptor: int) -> bytes:
        clock.seconds += 0.05
        return read_file(descriptor)

    meter = HwmonMeter(Hwmon(sysfs, wanted=("platform",)).powers, clock=clock, read_file=slowly)
    first = clock.seconds
    while not meter.read():
        clock.seconds += 0.01
    assert 1.0 <= clock.seconds - first <= 1.2, "a reading of 0.1 s is to take a tenth of the time"


def test_what_took_long_once_is_read_as_often_as_before(sysfs: Path, clock: Clock) -> None:
    boards.orin_nx(sysfs)
    took = iter([0.0, 0.0, 0.5])

    def once_slowly(descriptor: int) -> bytes:
        clock.seconds += next(took, 0.0)
        return read_file(descriptor)

    meter = HwmonMeter(Hwmon(sysfs, wanted=("platform",)).powers, clock=clock, read_file=once_slowly)
    clock.seconds += 0.1
    assert meter.read()
    clock.seconds += 0.1
    assert meter.read()


GARBAGE = ["", "\n", "-5", "x", "12x", "1e6", "\x00", "999999999999999999999999", "\xb2"]


@pytest.mark.parametrize("text", [*GARBAGE, "0", "99000000000"])
def test_a_power_that_cannot_be_is_an_error_and_the_next_one_counts(
    sysfs: Path, clock: Clock, text: str
) -> None:
    place = boards.server(sysfs, 100_000_000)
    meter = powers(sysfs, clock)
    (place / "power1_average").write_text(text)
    clock.seconds += 1
    assert meter.read() == []
    (error,) = meter.errors
    assert error.path.endswith("power1_average")
    assert error.message.startswith("failed: found")
    assert not error.vanished
    (place / "power1_average").write_text("100000000\n")
    clock.seconds += 1
    assert [each.energy_uj for each in meter.read()] == [200_000_000]


@pytest.mark.parametrize("text", GARBAGE)
def test_an_energy_that_cannot_be_is_an_error_and_loses_nothing(sysfs: Path, clock: Clock, text: str) -> None:
    boards.altra_counting(sysfs)
    meter = HwmonMeter(Hwmon(sysfs).counted, clock=clock)
    energy = MeteredEnergy(meter, suspended_ns=lambda: 0)
    energy.measure(ANY_USAGE)
    file = next(sysfs.rglob("energy1_input"))
    file.write_text(text)
    clock.seconds += 1
    energy.measure(ANY_USAGE)
    assert energy.errors()["read"] == 1
    file.write_text("5000010\n")
    clock.seconds += 1
    drawn = {Path(each.path).name: each.joules for each in energy.measure(ANY_USAGE)}
    assert drawn["energy1_input"] == pytest.approx(5.0)


def test_a_counter_begins_anew_where_the_users_rule_says(sysfs: Path, clock: Clock) -> None:
    chip = boards.HwmonTree(sysfs).add("ina228", {"energy1_input": 0})
    rule = ChipRule("ina228", (Measure("platform", ".*"),), max_energy_uj=99_999_999_999)
    energy = MeteredEnergy(HwmonMeter(Hwmon(sysfs, (rule,)).counted, clock=clock), suspended_ns=lambda: 0)
    for value in (99_999_999_999, 9_999):
        (chip / "energy1_input").write_text(f"{value}\n")
        clock.seconds += 1
        drawn = energy.measure(ANY_USAGE)
    assert [each.joules for each in drawn] == [pytest.approx(0.01)]


def test_two_voltages_of_one_current_are_both_read(sysfs: Path, clock: Clock) -> None:
    files = {"in1_input": 12000, "in2_input": 11000, "curr1_input": 1000}
    boards.HwmonTree(sysfs).add("odd", files)
    rule = ChipRule("odd", (Measure("core", "in1"), Measure("uncore", "in2")), pairings={1: 1, 2: 1})
    meter = HwmonMeter(Hwmon(sysfs, (rule,)).powers, clock=clock)
    clock.seconds += 1
    assert {each.zone: each.energy_uj for each in meter.read()} == {"core": 12_000_000, "uncore": 11_000_000}


def test_a_card_that_sleeps_is_not_woken_and_draws_nothing(sysfs: Path, clock: Clock) -> None:
    boards.graphics(sysfs)
    cards = [next(sysfs.rglob(address)) for address in ("0000:03:00.0", "0000:41:00.0")]
    for card in cards:
        (card / "power").mkdir()
        (card / "power/runtime_status").write_text("suspended\n")
    woken: list[str] = []

    def reads(descriptor: int) -> bytes:
        woken.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        return read_file(descriptor)

    counted = HwmonMeter(Hwmon(sysfs).counted, clock=clock, read_file=reads)
    averaged = HwmonMeter(Hwmon(sysfs).powers, clock=clock, read_file=reads)
    clock.seconds += 1
    assert [each.device for each in counted.read()] == ["0000:04:00.0"]
    assert [each.energy_uj for each in averaged.read()] == [0]
    assert not [path for path in woken if any(card.name in path for card in cards)]
    (cards[0] / "power/runtime_status").write_text("active\n")
    clock.seconds += 1
    assert [each.energy_uj for each in counted.read()] == [11, 22]


def test_a_power_that_stays_away_is_said_and_not_drawn_through(sysfs: Path, clock: Clock) -> None:
    boards.server(sysfs, 100_000_000)
    meter = powers(sysfs, clock)
    clock.seconds += 60
    (reading,) = meter.read()
    assert reading.energy_uj == 0
    assert "no power for 60 s" in meter.errors[0].message


def test_a_chip_that_goes_is_said_and_found_again_under_another_number(sysfs: Path, clock: Clock) -> None:
    tree = boards.HwmonTree(sysfs)
    card = tree.add("i915", {"energy1_input": 5}, "pci0000:00/0000:03:00.0")

    def as_sysfs(descriptor: int) -> bytes:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).endswith("(deleted)"):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return read_file(descriptor)

    meter = HwmonMeter(Hwmon(sysfs).counted, clock=clock, read_file=as_sysfs, rescan_reads=2)
    shutil.rmtree(card)
    (sysfs / "class/hwmon/hwmon0").unlink()
    assert meter.read() == []
    assert [(error.vanished, Path(error.path).name) for error in meter.errors] == [(True, "energy1_input")]
    tree.add("i915", {"energy1_input": 9}, "pci0000:00/0000:03:00.0")
    found = [each for _ in range(2) for each in meter.read()]
    assert {each.energy_uj for each in found} == {9}
    meter.read()
    assert meter.errors == []


def test_what_is_denied_is_unavailable_with_the_mend(sysfs: Path) -> None:
    boards.epyc(sysfs)

    def denied(path: str) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(MeterUnavailable, match=r"energy3_input is denied.*CAP_DAC_READ_SEARCH"):
        HwmonMeter(Hwmon(sysfs).counted, open_file=denied)


def test_firmware_that_says_0_w_for_a_machine_is_unavailable(sysfs: Path) -> None:
    boards.server(sysfs, 0)
    with pytest.raises(MeterUnavailable, match=r"power1_average failed: found 0 W .* firmware"):
        HwmonMeter(Hwmon(sysfs).powers)


def test_every_descriptor_is_closed(sysfs: Path) -> None:
    boards.orin_nx(sysfs)
    before = len(list(Path("/proc/self/fd").iterdir()))
    HwmonMeter(Hwmon(sysfs).powers).close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: (root / "class/hwmon/hwmon9").symlink_to("nowhere"), "a link that leads nowhere"),
        (lambda root: (root / "class/hwmon/hwmon9").mkdir(), "no name in it"),
    ],
)
def test_a_malformed_chip_is_left_out_and_said(
    sysfs: Path, spoil: Callable[[Path], object], told: str
) -> None:
    boards.HwmonTree(sysfs)
    spoil(sysfs)
    assert told in Hwmon(sysfs).why_empty()


def test_without_hwmon_the_mend_is_named(tmp_path: Path) -> None:
    assert "--host.sysfs" in Hwmon(tmp_path).why_empty()
