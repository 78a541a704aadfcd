"""What a machine says of its own size: CPUs, chips, clock, memory, and what its maker or cloud calls it."""

from __future__ import annotations

import re
from pathlib import Path

from ebpf.cpus import parse_cpu_list
from estimator.machine.description import Size
from estimator.machine.identity import CpuIdentity
from estimator.machine.names import maker_of
from estimator.machine.topology import CpuTopology

_NOMINAL_CLOCK = re.compile(r"@\s*(\d{1,2}(?:\.\d+)?)\s*GHz", re.ASCII | re.IGNORECASE)
_KIB, _MIB = 1024**2, 1024.0
# SMBIOS 3.7, section 7.18: a memory device's size, in MiB below bit 15, and where it is larger than that.
_SIZE_AT, _EXTENDED_AT, _EXTENDED = 0x0C, 0x1C, 0x7FFF


def read_size(sysfs: Path, procfs: Path, identity: CpuIdentity, topology: CpuTopology) -> Size:
    """The size of this machine; None for what it does not tell."""
    return Size(
        n_cpu=topology.n_cpu,
        memory_gb=_dmi_memory_gb(sysfs) or _memory_gb(procfs),
        chips=topology.n_sockets,
        threads_per_core=_threads_per_core(sysfs, topology),
        mhz=_nominal_mhz(sysfs, identity.model_name),
        maker=maker_of(_text(sysfs / "class/dmi/id/sys_vendor")),
    )


def read_instance_type(sysfs: Path) -> str:
    """What AWS calls this machine ("m5.large", "m5.metal"), by DMI; empty elsewhere."""
    is_amazon = _text(sysfs / "class/dmi/id/sys_vendor") == "Amazon EC2"
    return _text(sysfs / "class/dmi/id/product_name") if is_amazon else ""


def _nominal_mhz(sysfs: Path, model_name: str) -> float | None:
    """From the name, ACPI CPPC (AMD, Arm), intel_pstate; else, on Arm, the highest, which is the nominal."""
    named = _NOMINAL_CLOCK.search(model_name)
    if named and float(named[1]):
        return float(named[1]) * 1000
    cpu = sysfs / "devices/system/cpu/cpu0"
    if nominal := _integer(cpu / "acpi_cppc/nominal_freq"):
        return float(nominal)
    kilohertz = _integer(cpu / "cpufreq/base_frequency")
    if not kilohertz and not model_name:
        kilohertz = _integer(cpu / "cpufreq/cpuinfo_max_freq")
    return kilohertz / 1000 if kilohertz else None


def _threads_per_core(sysfs: Path, topology: CpuTopology) -> int:
    siblings = _text(sysfs / f"devices/system/cpu/cpu{topology.online[0]}/topology/thread_siblings_list")
    try:
        return len(parse_cpu_list(siblings)) or 1
    except ValueError:
        return 1


def _memory_gb(procfs: Path) -> float | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(procfs / "meminfo"), re.MULTILINE)
    return int(found[1]) / _KIB if found else None


def _dmi_memory_gb(sysfs: Path) -> float | None:
    """The sum over memory devices; root alone may read them."""
    try:
        devices = [file.read_bytes() for file in (sysfs / "firmware/dmi/entries").glob("17-*/raw")]
    except OSError:
        return None
    return sum(map(_device_mib, devices)) / _MIB or None


def _device_mib(device: bytes) -> float:
    size = int.from_bytes(device[_SIZE_AT : _SIZE_AT + 2], "little")
    if size == _EXTENDED:
        return float(int.from_bytes(device[_EXTENDED_AT : _EXTENDED_AT + 4], "little"))
    return 0.0 if size == 0xFFFF else size / _MIB if size & 0x8000 else float(size)


def _integer(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
