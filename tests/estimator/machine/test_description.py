"""A machine is known by its CPU's name, its instance type or its family, and nothing costs a table before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from estimator.machine.catalogue import Catalogue
from estimator.machine.description import Size, ceilings_of, describe
from estimator.machine.identity import CpuIdentity
from estimator.machine.size import read_instance_type, read_size
from estimator.machine.topology import CpuTopology

GUEST = frozenset({"hypervisor"})
ICE_LAKE = CpuIdentity("GenuineIntel", 6, 0x6A, 6, "Intel(R) Xeon(R) CPU @ 2.60GHz", GUEST)


def test_a_host_is_what_it_says_of_itself_before_what_the_table_says() -> None:
    identity = CpuIdentity(model_name="AMD EPYC 9654 96-Core Processor")
    machine = describe(identity, Size(384, 768.0, chips=2, threads_per_core=2, mhz=2405.0))
    of = machine.specification
    assert machine.knowledge == "specified"
    assert (of.family, of.cores_per_chip, of.threads_per_core, of.chips) == ("Genoa", 96, 2, 2)
    assert (of.mhz, of.tdp_watts, of.memory_gb_per_chip) == (2405.0, 360.0, 384.0)


def test_a_guest_takes_its_host_to_be_full_of_guests_like_it() -> None:
    identity = CpuIdentity(model_name="AMD EPYC 9654 96-Core Processor", flags=GUEST)
    machine = describe(identity, Size(8, 32.0, chips=1))
    assert (machine.knowledge, machine.is_guest) == ("named", True)
    assert machine.specification.chips is None
    assert machine.specification.memory_gb_per_chip == 32 / 8 * 192


def test_where_the_name_is_hidden_the_instance_type_tells() -> None:
    machine = describe(ICE_LAKE, Size(8, 32.0), "n2-standard-8")
    assert machine.specification.cpu == "xeon 8373c"
    assert machine.found == "by the instance type n2-standard-8"


def test_an_instance_type_that_the_number_contradicts_is_not_believed() -> None:
    cascade_lake = CpuIdentity("GenuineIntel", 6, 0x55, 7, "Intel(R) Xeon(R) CPU @ 2.80GHz", GUEST)
    machine = describe(cascade_lake, Size(8, 32.0), "n2-standard-8")
    assert (machine.knowledge, machine.specification.family) == ("family", "Cascade Lake")
    assert all(part.family == "Cascade Lake" for part in machine.candidates)


def test_a_family_s_guest_is_on_a_large_server_part() -> None:
    machine = describe(CpuIdentity("AuthenticAMD", 0x1A, 0x11, flags=GUEST), Size(4))
    assert {part.cpu for part in machine.candidates} == {"epyc 9965"}


def test_of_what_no_table_knows_nothing_is_known() -> None:
    machine = describe(CpuIdentity("HygonGenuine", 24, 1, flags=GUEST), Size(4))
    assert machine.knowledge == "nothing"
    assert machine.found == "the CPU is not known"


@pytest.mark.parametrize(
    ("instance_type", "cpu"),
    [
        ("m6g.xlarge", "AWS Graviton2 Processor"),
        ("c4a-standard-8", "Google Axion"),
        ("Standard_D8ps_v6", "Azure Cobalt 100"),
        ("Standard_D8ads_v5", "AMD EPYC 7763v"),
        ("Standard_E16-8s_v5", "Intel Xeon Platinum 8370C"),
        ("Standard_D8s_v3", None),
        ("Standard_D8as_v7", "AMD EPYC Turin"),
    ],
)
def test_instance_types_of_three_clouds_have_cpus(instance_type: str, cpu: str | None) -> None:
    instance = Catalogue().instance(instance_type)
    assert instance is not None
    assert instance.cpu == cpu
    assert cpu is None or Catalogue().specification_of(cpu).family is not None


def test_of_azure_s_other_series_nothing_is_said() -> None:
    for instance_type in ("Standard_HB176rs_v4", "Standard_L8as_v4", "Standard_NC24ads_A100_v4", "k3s"):
        assert Catalogue().instance(instance_type) is None


def test_a_part_that_is_in_no_table_is_taken_for_its_nearest() -> None:
    like = Catalogue().specification_of("Intel Xeon Platinum 8593")
    assert (like.family, like.cpu, like.cores_per_chip) == ("Emerald Rapids", "", 64)


def test_a_part_of_another_line_is_no_nearest() -> None:
    """An E5-2673 v4 has 20 cores, an E5-2643 v4 six; a w9-3495X 56, a Xeon Bronze 3408U eight."""
    for name, family in (("Intel Xeon E5-2673 v4", "Broadwell"), ("Xeon w9-3495X", "Sapphire Rapids")):
        found = Catalogue().specification_of(name)
        assert (found.family, found.cores_per_chip) == (family, None)


def test_what_a_distribution_calls_any_node_makes_no_guest_of_it() -> None:
    arm = CpuIdentity("ARM", 8, 0xD0C)
    guests = ("m7g.large", "c4a-standard-8", "Standard_D8ps_v6", "VM.Standard.A1.Flex")
    hosts = ("k3s", "rke2", "m7g.metal", "c3-standard-192-metal", "BM.Standard.A1.160", "")
    assert all(describe(arm, Size(8), instance_type).is_guest for instance_type in guests)
    assert not any(describe(arm, Size(8), instance_type).is_guest for instance_type in hosts)


def test_a_host_of_which_the_machine_alone_tells_is_no_known_specification() -> None:
    machine = describe(CpuIdentity("HygonGenuine", 24, 1, 0, "Hygon C86 7285"), Size(64, 256.0, chips=2))
    assert (machine.knowledge, machine.is_guest, machine.found) == ("nothing", False, "the CPU is not known")


def test_size_is_read_from_sysfs_and_procfs(tmp_path: Path) -> None:
    cpu = tmp_path / "devices/system/cpu/cpu0"
    for name, text in (
        ("topology/thread_siblings_list", "0,4"),
        ("acpi_cppc/nominal_freq", "2400"),
        ("cpufreq/cpuinfo_max_freq", "3700000"),
    ):
        (cpu / name).parent.mkdir(parents=True, exist_ok=True)
        (cpu / name).write_text(text + "\n")
    (tmp_path / "meminfo").write_text("MemTotal:       67108864 kB\n")
    vendor = tmp_path / "class/dmi/id/sys_vendor"
    vendor.parent.mkdir(parents=True)
    vendor.write_text("Dell Inc.\n")
    topology = CpuTopology(tuple(range(8)), (0,) * 8, (0,))
    size = read_size(tmp_path, tmp_path, CpuIdentity(model_name="AMD EPYC 9654"), topology)
    assert size == Size(8, 64.0, chips=1, threads_per_core=2, mhz=2400.0, maker="dell")
    entry = tmp_path / "firmware/dmi/entries/17-0"
    entry.mkdir(parents=True)
    (entry / "raw").write_bytes(
        bytes(0x0C) + (0x7FFF).to_bytes(2, "little") + bytes(0x0E) + (98304).to_bytes(4, "little")
    )
    assert read_size(tmp_path, tmp_path, CpuIdentity(), topology).memory_gb == 96.0


def test_aws_says_its_instance_type_in_dmi(tmp_path: Path) -> None:
    dmi = tmp_path / "class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "product_name").write_text("m7i.4xlarge\n")
    (dmi / "sys_vendor").write_text("LENOVO\n")
    assert read_instance_type(tmp_path) == ""
    (dmi / "sys_vendor").write_text("Amazon EC2\n")
    assert read_instance_type(tmp_path) == "m7i.4xlarge"


def test_bare_metal_of_a_cloud_is_a_host() -> None:
    identity = CpuIdentity(model_name="Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz")
    assert not describe(identity, Size(96, 384.0, chips=2, threads_per_core=2), "m5n.metal").is_guest


def test_a_guest_s_ceiling_is_its_share_of_a_chip() -> None:
    identity = CpuIdentity(model_name="AMD EPYC 9654", flags=GUEST)
    assert ceilings_of(describe(identity, Size(96)))["package"] == pytest.approx(360 * 1.25 / 2)


def test_the_tables_cost_nothing_until_a_model_is_needed() -> None:
    code = (
        "import exporter.tick.power, sys, gc; from estimator.machine import catalogue;"
        "assert not [of for of in gc.get_objects() if isinstance(of, catalogue.Catalogue)];"
        "assert 'csv' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
