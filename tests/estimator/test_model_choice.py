"""The right model for the CPU, the generic one where there is none, and the reason in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.errors import ModelUnavailable
from estimator.cpu_identity import CpuIdentity, read_identity
from estimator.model_choice import BARE_METAL, GENERIC, Anchors, choose_model, shipped_for, slug
from estimator.model_file import list_models, load_shipped
from estimator.power_curves import main
from estimator.power_model import CurveZone
from estimator.specification import Specification

ROME = CpuIdentity("AuthenticAMD", 0x17, 0x31, 0, "AMD EPYC 7742 64-Core Processor")
GENOA = CpuIdentity("AuthenticAMD", 0x19, 0x11, 1, "AMD EPYC 9654")
HASWELL_EP = CpuIdentity("GenuineIntel", 6, 0x3F, 2, "Intel(R) Xeon(R) CPU E5-2667 v3 @ 3.20GHz")
ALL_COUNTERS = frozenset({"cpu_seconds", "cycles", "instructions", "cache_misses", "switches"})
SPECIFICATION = Specification(2400.0, 192.0, 2.0)
ROCKET_LAKE_WITH_AMX = CpuIdentity("GenuineIntel", 6, 167, 1, flags=frozenset({"amx_tile", "hypervisor"}))


def test_a_known_microarchitecture_gets_its_own_model() -> None:
    choice = choose_model("auto", ROME)
    assert choice.model is not None
    assert choice.model.name == "power-curve-epyc-2nd-gen"
    assert choice.reason == "model power-curve-epyc-2nd-gen: this CPU is EPYC 2nd Gen"


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        (GENOA, "no model of EPYC 4th Gen is shipped"),
        (CpuIdentity(), "this CPU's microarchitecture is not known"),
        (ROCKET_LAKE_WITH_AMX, "says Rocket Lake, but flag amx_tile says Sapphire Rapids or later"),
    ],
)
def test_any_other_cpu_gets_the_generic_model_and_the_reason(identity: CpuIdentity, why: str) -> None:
    choice = choose_model("auto", identity)
    assert choice.model == load_shipped(GENERIC)
    assert why in choice.reason
    assert "wide interval" in choice.reason
    assert "\n" not in choice.reason


def test_an_oldest_possible_microarchitecture_is_not_taken_for_certain() -> None:
    skylake_with_vnni = CpuIdentity("GenuineIntel", 6, 0x55, 4, flags=frozenset({"avx512_vnni"}))
    assert shipped_for("Cascade Lake") is not None
    assert choose_model("auto", skylake_with_vnni).model == load_shipped(GENERIC)


def test_none_is_no_model() -> None:
    assert choose_model("none", ROME).model is None


def test_a_file_is_taken_as_told_and_compared_with_the_machine(tmp_path: Path) -> None:
    main(["--output", str(tmp_path), "--data", str(Path(__file__).parents[1] / "data")])
    choice = choose_model(str(tmp_path / "power-curve-haswell.json"), ROME)
    assert choice.model == load_shipped("power-curve-haswell")
    assert choice.reason.endswith("made for Haswell, while this machine is EPYC 2nd Gen")


def test_a_file_that_is_missing_is_an_error_and_no_fallback(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        choose_model(str(tmp_path / "none.json"), ROME)


def test_every_shipped_model_can_be_chosen() -> None:
    for name in sorted({*list_models()} - {*BARE_METAL}):
        microarchitecture = load_shipped(name).machine.microarchitecture
        assert name == (GENERIC if microarchitecture is None else f"power-curve-{slug(microarchitecture)}")
    assert {*BARE_METAL} <= {*list_models()}


def test_the_very_same_cpu_on_bare_metal_gets_the_model_made_on_it() -> None:
    choice = choose_model("auto", HASWELL_EP, ALL_COUNTERS)
    assert choice.model is not None
    assert choice.model.sha256 == load_shipped("bare-metal-counters").sha256
    assert choice.reason == "model bare-metal-counters: made on this CPU, Haswell"
    without_counters = choose_model("auto", HASWELL_EP).model
    assert without_counters is not None
    assert without_counters.name == "bare-metal-cpu-time"


@pytest.mark.parametrize(
    "identity",
    [
        replace(HASWELL_EP, flags=frozenset({"hypervisor"})),
        replace(HASWELL_EP, model=0x3C),
    ],
)
def test_a_guest_or_another_haswell_gets_the_power_curve(identity: CpuIdentity) -> None:
    assert choose_model("auto", identity, ALL_COUNTERS).model == load_shipped("power-curve-haswell")


def test_bare_metal_goes_by_its_specification_and_a_guest_does_not() -> None:
    guest = replace(GENOA, flags=frozenset({"hypervisor"}))
    assert choose_model("auto", guest, specification=SPECIFICATION).model == load_shipped(GENERIC)
    choice = choose_model("auto", GENOA, specification=SPECIFICATION)
    assert choice.model is not None
    zone, generic = choice.model.zones["platform"], load_shipped(GENERIC).zones["platform"]
    assert isinstance(zone, CurveZone)
    assert isinstance(generic, CurveZone)
    assert zone.full_watts_per_cpu < generic.full_watts_per_cpu
    assert choice.reason.endswith("scaled to 2 x 192 threads at 2400 MHz")


def test_the_machine_s_own_power_takes_the_place_of_the_table_s() -> None:
    choice = choose_model("auto", GENOA, anchors=Anchors(100.0, 500.0, n_cpu=100))
    assert choice.model is not None
    zone = choice.model.zones["platform"]
    assert zone.idle_watts(100) == pytest.approx(100)
    busy = zone.predict({"cpu_seconds": 500.0}, 100, 5.0)
    assert busy.joules == pytest.approx(2500)
    assert busy.high - busy.low < 0.2 * busy.joules
    assert "this machine's own 100 W idle and 500 W at full load" in choice.reason


def test_where_cpu_time_is_not_measured_no_model_fits() -> None:
    choice = choose_model("auto", ROME, frozenset({"switches"}))
    assert choice.model is None
    assert "no model fits" in choice.reason


def test_this_machine_gets_a_model() -> None:
    assert choose_model("auto", read_identity(Path("/proc"))).model is not None
