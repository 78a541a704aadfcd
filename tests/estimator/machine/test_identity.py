"""What /proc/cpuinfo says, and where a hypervisor has it say something that cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from estimator.machine.cpuinfo import Processor, read_processors
from estimator.machine.identity import CpuIdentity, microarchitecture, read_identity, recognise

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cpuinfo"


@pytest.fixture
def procfs(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    shutil.copy(FIXTURES / request.param, tmp_path / "cpuinfo")
    return tmp_path


def intel(model: int, stepping: int = 0, flags: str = "", family: int = 6) -> CpuIdentity:
    return CpuIdentity("GenuineIntel", family, model, stepping, flags=frozenset(flags.split()))


def amd(family: int, model: int, name: str = "AMD EPYC", flags: str = "") -> CpuIdentity:
    return CpuIdentity("AuthenticAMD", family, model, 0, name, frozenset(flags.split()))


@pytest.mark.parametrize(
    ("procfs", "numbers", "name"),
    [
        ("cascade_lake", ("GenuineIntel", 6, 85, 7), "Cascade Lake"),
        ("epyc_rome", ("AuthenticAMD", 23, 49, 0), "Rome"),
        ("graviton2", ("ARM", 8, 0xD0C, 1), "Neoverse N1"),
        ("hidden_name", ("GenuineIntel", 15, 6, 1), None),
        ("empty", ("", None, None, None), None),
    ],
    indirect=["procfs"],
)
def test_a_real_cpuinfo_is_recognised(
    procfs: Path, numbers: tuple[str, int | None, int | None, int | None], name: str | None
) -> None:
    identity = read_identity(procfs)
    assert (identity.vendor, identity.family, identity.model, identity.stepping) == numbers
    assert recognise(identity).name == name
    assert recognise(identity).note == ""


@pytest.mark.parametrize("procfs", ["sapphire_rapids_as_rocket_lake"], indirect=True)
def test_a_flag_that_the_claimed_model_cannot_have_corrects_it(procfs: Path) -> None:
    recognition = recognise(read_identity(procfs))
    assert recognition.name == "Sapphire Rapids"
    assert not recognition.exact
    assert recognition.note == (
        "family 6 model 167 says Rocket Lake, but flag amx_tile says Sapphire Rapids or later; "
        "a hypervisor hides the model"
    )


def test_a_missing_cpuinfo_is_an_unknown_cpu(tmp_path: Path) -> None:
    assert read_identity(tmp_path) == CpuIdentity()
    assert read_processors(tmp_path) == []


def test_numbers_that_are_none_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nvendor_id : GenuineIntel\nstepping : unknown\n")
    assert read_identity(tmp_path) == CpuIdentity("GenuineIntel")


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        (intel(0x2D), "Sandy Bridge"),
        (intel(0x3E), "Ivy Bridge"),
        (intel(0x3F), "Haswell"),
        (intel(0x4F), "Broadwell"),
        (intel(0x55, 4), "Skylake-SP"),
        (intel(0x55, 5), "Cascade Lake"),
        (intel(0x55, 0xB), "Cooper Lake"),
        (intel(0x5E), "Skylake"),
        (intel(0x9E, 9), "Kaby Lake"),
        (intel(0x9E, 0xA), "Coffee Lake"),
        (intel(0x6A), "Ice Lake-SP"),
        (intel(0xA7), "Rocket Lake"),
        (intel(0x8F, flags="amx_tile avx512_vbmi2"), "Sapphire Rapids"),
        (intel(0xCF, flags="amx_tile"), "Emerald Rapids"),
        (intel(0xAD, flags="amx_tile amx_fp16"), "Granite Rapids"),
        (intel(0x01, family=19), None),
        (amd(0x17, 0x01), "Naples"),
        (amd(0x17, 0x01, "AMD Ryzen Threadripper 1950X 16-Core Processor"), "Zen"),
        (amd(0x17, 0x31), "Rome"),
        (amd(0x17, 0x71, "AMD Ryzen 9 3900X"), "Zen 2"),
        (amd(0x19, 0x01, flags="vaes"), "Milan"),
        (amd(0x19, 0x11, flags="vaes avx512f"), "Genoa"),
        (amd(0x19, 0xA0, flags="vaes avx512f"), "Bergamo"),
        (amd(0x1A, 0x02, flags="vaes avx512f"), "Turin"),
        (amd(0x1A, 0x11, flags="vaes avx512f"), "Turin Dense"),
        (CpuIdentity("ARM", 8, 0xD08), "Cortex-A72"),
        (CpuIdentity("ARM", 8, 0xD40), "Neoverse V1"),
        (CpuIdentity("ARM", 8, 0xD4F), "Neoverse V2"),
        (CpuIdentity("HygonGenuine", 24, 1), None),
    ],
)
def test_family_model_and_stepping_name_the_microarchitecture(
    identity: CpuIdentity, name: str | None
) -> None:
    assert microarchitecture(identity) == name
    assert recognise(identity).exact


def test_a_host_s_flags_on_an_older_model_are_seen() -> None:
    assert recognise(intel(0x55, 4, "avx512_vnni")).name == "Cascade Lake"
    assert recognise(intel(0x55, 7, "avx512_vnni avx512_vbmi2")).name == "Ice Lake-SP"
    assert recognise(amd(0x17, 0x31, flags="vaes")).name == "Milan"
    assert recognise(amd(0x19, 0x01, flags="vaes avx512f")).name == "Genoa"


@pytest.mark.parametrize("procfs", ["epyc_rome"], indirect=True)
def test_processors_carry_what_the_node_info_metric_needs(procfs: Path) -> None:
    name = "AMD EPYC 7742 64-Core Processor"
    processors = read_processors(procfs)
    assert processors[3] == Processor("3", "AuthenticAMD", name, physical_id="1", core_id="1")
    assert len(processors) == 4


@pytest.mark.parametrize("procfs", ["graviton2"], indirect=True)
def test_processors_on_arm64_lack_a_name_and_have_an_implementer(procfs: Path) -> None:
    assert read_processors(procfs)[1] == Processor("1", "0x41", "", "", "")
