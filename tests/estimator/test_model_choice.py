"""The right model for the CPU, the generic one where there is none, and the reason in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpf.errors import ModelUnavailable
from estimator.cpu_identity import CpuIdentity, read_identity
from estimator.model_choice import GENERIC, choose_model, shipped_for, slug
from estimator.model_file import list_models, load_shipped
from estimator.power_curves import main

ROME = CpuIdentity("AuthenticAMD", 0x17, 0x31, 0, "AMD EPYC 7742 64-Core Processor")
GENOA = CpuIdentity("AuthenticAMD", 0x19, 0x11, 1, "AMD EPYC 9654")
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
    for name in list_models():
        microarchitecture = load_shipped(name).machine.microarchitecture
        assert name == (GENERIC if microarchitecture is None else f"power-curve-{slug(microarchitecture)}")


def test_this_machine_gets_a_model() -> None:
    assert choose_model("auto", read_identity(Path("/proc"))).model is not None
