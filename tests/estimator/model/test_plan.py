"""What is said of machines that are in no table is plausible, whatever they are called."""

from __future__ import annotations

from itertools import pairwise

import pytest

from estimator.machine.catalogue import Catalogue
from estimator.machine.description import MachineDescription, Size, describe_named
from estimator.model.choice import BY_SPECIFICATION
from estimator.model.file import load_shipped
from estimator.model.plan import Plan, plan

CATALOGUE, MODEL = Catalogue(), load_shipped(BY_SPECIFICATION)
# Name, family, and between which watts a server of two such CPUs (or of as many as it is sold for) lies at
# full load: by its TDP and what SPECpower's machines of its size draw.
NAMES = {
    "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz": ("Sapphire Rapids", 600, 1300),
    "Intel(R) Xeon(R) Platinum 8480+": ("Sapphire Rapids", 700, 1300),
    "Intel(R) Xeon(R) w9-3495X": ("Sapphire Rapids", 400, 1300),
    "Intel Xeon Gold 6530": ("Emerald Rapids", 450, 1000),
    "INTEL(R) XEON(R) 6980P": ("Granite Rapids", 900, 1600),
    "Intel(R) Xeon(R) 6975P-C": ("Granite Rapids", 900, 1600),
    "Intel(R) Xeon(R) 6766E": ("Sierra Forest", 450, 1000),
    "AMD EPYC 9965 192-Core Processor": ("Turin Dense", 750, 1400),
    "AMD EPYC 9755 128-Core Processor": ("Turin", 750, 1400),
    "AMD EPYC 9R14": ("Genoa", 600, 1100),
    "AMD EPYC 7B13": ("Milan", 180, 700),
    "AMD EPYC-Milan Processor": ("Milan", 350, 700),
    "Intel Xeon Processor (Skylake, IBRS)": ("Skylake-SP", 300, 800),
    "Intel Xeon E5-2673 v4 @ 2.30GHz": ("Broadwell", 200, 500),
    "13th Gen Intel(R) Core(TM) i9-13900K": ("Raptor Lake", 60, 350),
    "Intel(R) Core(TM) Ultra 7 265K": ("Arrow Lake", 40, 350),
    "AMD Ryzen 9 7950X 16-Core Processor": ("Zen 4", 100, 350),
    "AMD Ryzen 7 PRO 8840U w/ Radeon 780M Graphics": ("Zen 4", 25, 80),
    "Intel(R) Xeon(R) E-2488": ("Raptor Lake", 70, 160),
    "Neoverse-V2": ("Neoverse V2", 300, 1300),
    "Ampere-1a": ("AmpereOne", 400, 1200),
    "Intel(R) N100": (None, 10, 50),
    **dict.fromkeys(
        (
            *("", "  ", "xeon", "Genuine Intel(R) CPU 0000%@", "Intel(R) Xeon(R) CPU @ 2.20GHz"),
            *("QEMU Virtual CPU version 2.5+", "Common KVM processor", "Apple M2 Pro (Virtual)"),
            *("ZHAOXIN KaiXian KX-6640MA@2.2+GHz", "Hygon C86 7285 32-core Processor", "POWER9"),
            *("AMD EPYC 99999", "Cortex-A76", '\0 weird, "quoted"\n' * 50),
        ),
        (None, 250, 900),
    ),
}
GUESTS, CHIPS, MEMORY_GB = (1, 2, 8, 64, 512), (1, 2, 4, 8), (0.5, 64.0, 512.0, 4_096.0, 24_576.0)


def machine(name: str, size: Size, *, is_guest: bool = False) -> MachineDescription:
    return describe_named(name, size, CATALOGUE, is_guest=is_guest)


def planned(name: str, size: Size, *, is_guest: bool = False) -> Plan:
    found = plan(MODEL, machine(name, size, is_guest=is_guest))
    levels = [*found.by_throughput.values(), *found.by_cpu_time.values()]
    assert all(0 < of.low <= of.joules <= of.high < 1e6 for of in levels)
    for by_level in (found.by_throughput, found.by_cpu_time):
        for less, more in pairwise(by_level.values()):
            assert less.joules <= more.joules
            assert less.low <= more.low
            assert less.high <= more.high
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_host_is_plausible_and_more_of_it_draws_more(name: str) -> None:
    family, least, most = NAMES[name]
    found = planned(name, Size(1))
    assert found.machine.specification.family == family
    assert least < found.by_throughput[100].joules < most
    for axis in (
        [Size(1, 256.0 * chips, chips=chips) for chips in CHIPS],
        [Size(1, memory, chips=2) for memory in MEMORY_GB],
    ):
        plans = [planned(name, size) for size in axis]
        for less, more in pairwise(plans):
            assert less.by_throughput[100].joules <= more.by_throughput[100].joules * 1.001
        for size, of in zip(axis, plans, strict=True):
            tdp = of.machine.specification.tdp_watts or 0.0
            assert of.by_throughput[100].high >= tdp * (size.chips or 1) * (1 - 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_pays_by_its_vcpus_and_never_more_than_its_host(name: str) -> None:
    plans = [planned(name, Size(n, 4.0 * n), is_guest=True) for n in GUESTS]
    each = [of.by_throughput[100].joules / of.machine.n_cpu for of in plans]
    assert each == pytest.approx([each[0]] * len(each))
    for memory in MEMORY_GB:
        planned(name, Size(8, memory), is_guest=True)
    host = machine(name, Size(1))
    if host.knowledge == "named":  # its host's size is known
        share = planned(name, Size(host.n_cpu), is_guest=True).by_throughput[100].low
        assert share <= planned(name, Size(1)).by_throughput[100].joules


def test_what_is_guessed_has_wide_bounds_and_no_ceiling() -> None:
    known, guessed = (planned(name, Size(1)) for name in ("AMD EPYC 9654", "AMD EPYC 9999 Genoa"))
    width, other = (of.by_throughput[0].high / of.by_throughput[0].low for of in (known, guessed))
    assert other > 1.5 * width
    assert "not in the table of names" in guessed.machine.found
