"""The right model for the machine, what it rests on, and the reason in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from estimator.errors import ModelUnavailable
from estimator.machine.description import Size, describe
from estimator.machine.identity import CpuIdentity, read_identity
from estimator.model.choice import BARE_METAL, BY_SPECIFICATION, Anchors, choose_model, for_machine
from estimator.model.curve import CurveZone
from estimator.model.estimate import Estimate
from estimator.model.file import list_models, load_shipped
from estimator.model.modelled import ModelledEnergy
from estimator.model.power_model import PowerModel

ROME = CpuIdentity("AuthenticAMD", 0x17, 0x31, 0, "AMD EPYC 7742 64-Core Processor")
HASWELL_EP = CpuIdentity("GenuineIntel", 6, 0x3F, 2, "Intel(R) Xeon(R) CPU E5-2667 v3 @ 3.20GHz")
ALL_COUNTERS = frozenset({"cpu_seconds", "cycles", "instructions", "cache_misses", "switches"})
ROCKET_LAKE_WITH_AMX = CpuIdentity("GenuineIntel", 6, 167, 1, flags=frozenset({"amx_tile", "hypervisor"}))
GUEST = frozenset({"hypervisor"})
ROME_HOST = describe(ROME, Size(256, 512.0, chips=2, threads_per_core=2, mhz=2250.0))


def curve(model: PowerModel | None) -> CurveZone:
    assert model is not None
    zone = model.zones["platform"]
    assert isinstance(zone, CurveZone)
    return zone


def test_a_machine_gets_the_power_of_its_specification() -> None:
    choice = choose_model("auto", ROME, machine=ROME_HOST)
    assert choice.model is not None
    assert choice.model.name == BY_SPECIFICATION
    assert choice.reason == f"model {BY_SPECIFICATION}: by the CPU's name; CPU, chips and memory are known"
    assert 60 < curve(choice.model).idle_watts(256) < 220


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        (
            CpuIdentity("AuthenticAMD", 0x19, 0x11, flags=GUEST),
            "by its numbers alone: Genoa; no more than its family is known",
        ),
        (CpuIdentity(flags=GUEST), "the CPU is not known; the widest interval"),
        (ROCKET_LAKE_WITH_AMX, "says Rocket Lake, but flag amx_tile says Sapphire Rapids or later"),
    ],
)
def test_the_less_is_known_the_wider_the_bounds(identity: CpuIdentity, why: str) -> None:
    choice = choose_model("auto", identity)
    zone, known = curve(choice.model), curve(choose_model("auto", ROME, machine=ROME_HOST).model)
    assert why in choice.reason
    assert "\n" not in choice.reason
    assert zone.idle.high / zone.idle.low > known.idle.high / known.idle.low


def test_none_is_no_model() -> None:
    assert choose_model("none", ROME).model is None


def test_a_file_is_taken_as_told_and_made_the_machine_s(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "models" / f"{BY_SPECIFICATION}.json"
    file = tmp_path / "own.json"
    file.write_bytes(shipped.read_bytes())
    choice = choose_model(str(file), ROME, machine=ROME_HOST)
    assert curve(choice.model) == curve(choose_model("auto", ROME, machine=ROME_HOST).model)
    assert choice.reason.endswith("made for any machine, while this machine is Rome")


def test_a_file_that_is_missing_is_an_error_and_no_fallback(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        choose_model(str(tmp_path / "none.json"), ROME)


def test_every_shipped_model_can_be_chosen() -> None:
    assert {*list_models()} == {BY_SPECIFICATION, *BARE_METAL}
    for name, cpu in BARE_METAL.items():
        of = load_shipped(name).machine
        assert (of.vendor, of.family, of.model) == cpu


def test_the_very_same_cpu_on_bare_metal_gets_the_model_made_on_it() -> None:
    machine = describe(HASWELL_EP, Size(32, 256.0, chips=2, threads_per_core=2))
    choice = choose_model("auto", HASWELL_EP, ALL_COUNTERS, machine)
    assert choice.model is not None
    assert choice.model.sha256 == load_shipped("bare-metal-counters").sha256
    assert choice.reason == "model bare-metal-counters: made on this CPU, Haswell"
    without_counters = choose_model("auto", HASWELL_EP, machine=machine).model
    assert without_counters is not None
    assert without_counters.name == "bare-metal-cpu-time"


@pytest.mark.parametrize(
    ("n_cpu", "chips"), [(16, 1), (24, 2), (64, 4)], ids=["one chip", "other cores", "four"]
)
def test_the_same_cpu_in_another_size_is_another_machine(n_cpu: int, chips: int) -> None:
    """Its watts are of two chips of eight cores."""
    machine = describe(HASWELL_EP, Size(n_cpu, 256.0, chips=chips, threads_per_core=2))
    model = choose_model("auto", HASWELL_EP, ALL_COUNTERS, machine).model
    assert model is not None
    assert model.name == BY_SPECIFICATION


def test_a_guest_of_a_cpu_that_was_trained_on_metal_has_package_and_dram_too() -> None:
    guest = replace(HASWELL_EP, flags=GUEST)
    machine = describe(guest, Size(8, 32.0))
    model = choose_model("auto", guest, ALL_COUNTERS, machine).model
    assert model is not None
    assert set(model.zones) == {"package", "dram", "platform"}
    busy = {
        "cycles": 8 * 5 * 3e9,
        "instructions": 8 * 5 * 3e9,
        "cache_misses": 8 * 5 * 1e6,
        "cpu_seconds": 40.0,
    }
    whole = load_shipped("bare-metal-counters").zones["package"]
    host = whole.predict({name: 4 * value for name, value in busy.items()}, 32, 5.0)
    assert model.zones["package"].predict(busy, 8, 5.0) == pytest.approx(Estimate(*(of / 4 for of in host)))


def test_another_haswell_gets_power_by_specification_alone() -> None:
    model = choose_model("auto", replace(HASWELL_EP, model=0x3C, flags=GUEST), ALL_COUNTERS).model
    assert model is not None
    assert set(model.zones) == {"platform"}


def test_the_machine_s_own_power_takes_the_place_of_the_table_s() -> None:
    choice = choose_model("auto", ROME, anchors=Anchors(100.0, 500.0, n_cpu=100))
    zone = curve(choice.model)
    assert zone.idle_watts(100) == pytest.approx(100)
    busy = zone.predict({"cpu_seconds": 500.0}, 100, 5.0)
    assert busy.joules == pytest.approx(2500)
    assert busy.high - busy.low < 0.2 * busy.joules
    assert "this machine's own 100 W idle and 500 W at full load" in choice.reason


def test_where_cpu_time_is_not_measured_no_model_fits() -> None:
    choice = choose_model("auto", ROME, frozenset({"switches"}))
    assert choice.model is None
    assert "no model fits" in choice.reason


def test_no_model_predicts_more_than_the_machine_can_draw() -> None:
    machine = describe(HASWELL_EP, Size(32, 64.0, chips=2, threads_per_core=2))
    model = for_machine(load_shipped("bare-metal-counters"), machine)
    assert model.ceilings["package"] == 2 * 135 * 1.25
    assert model.ceilings["dram"] < 200
    wild = {"cpu_seconds": 160.0, "cycles": 1e15, "instructions": 1e15, "cache_misses": 1e13}
    assert replace(model, ceilings={}).predict("dram", wild, 32, 5.0).high > model.ceilings["dram"] * 5
    for zone in model.zones:
        assert model.predict(zone, wild, 32, 5.0).high <= model.ceilings[zone] * 5 * (1 + 1e-9)
    assert isinstance(ModelledEnergy(model).coefficients(), dict)


def test_this_machine_gets_a_model() -> None:
    assert choose_model("auto", read_identity(Path("/proc"))).model is not None
