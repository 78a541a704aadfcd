"""Checks of the host: hardware counters, cgroups, cpu.stat, RAPL."""

from __future__ import annotations

import errno
from pathlib import Path

from ebpf.cpus import offline_cpus
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy, find_hierarchy
from ebpf.perf_events import restricted
from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.machine.identity import read_identity
from estimator.meters.host_tree import HostMeter, host_source
from estimator.meters.port import ZoneReading
from estimator.meters.powercap import PowercapMeter
from exporter.doctor.finding import Check, Machine, read_text

_NO_RIGHT = (errno.EACCES, errno.EPERM)
_NO_PMU = "run on bare metal or give the VM a virtual PMU; energy is shared by CPU time meanwhile"
_NO_RIGHT_MEND = "run as root, give CAP_PERFMON or set kernel.perf_event_paranoid to 0 or less"
_NOT_ALL = "none needed: this CPU has no such event, and what it has is counted"
_NOT_ALL_ARM = (
    "none needed: perf takes L1D_CACHE_REFILL for it on arm64, which this CPU does not offer, and every other"
    " event for it is the maker's own; what there is is counted"
)
_MODEL = "the node's energy comes from a model"


def check_pmu(machine: Machine) -> Check:
    """Cycles, instructions and cache misses can be counted."""
    devices = machine.sysfs / "bus/event_source/devices"
    names = sorted(entry.name for pattern in ("cpu*", "armv8*", "armv9*") for entry in devices.glob(pattern))
    try:
        tried = machine.try_events(machine.sysfs)
    except (OSError, ValueError) as error:
        return Check("pmu", "warn", f"{machine.sysfs} does not tell the CPUs: {error}", "mount sysfs there")
    refused = {name: failed for name, failed in tried.items() if failed}
    if not refused:
        pmus = ", ".join(_with_cpus(devices / name) for name in names) or "an unnamed PMU"
        return Check("pmu", "ok", f"{', '.join(tried)} on {pmus}{_offline(machine)}")
    if any(failed in _NO_RIGHT for failed in refused.values()):
        mend = restricted(machine.procfs) or _NO_RIGHT_MEND
        return Check("pmu", "warn", f"no right to open {', '.join(refused)}", mend)
    found = f"{', '.join(names)} without {', '.join(refused)}" if names else "no hardware counters"
    return Check(
        "pmu", "warn", f"{found}; they are not exported", _mend_events(names, set(tried), set(refused))
    )


def check_cgroups(machine: Machine, wanted: str) -> Check:
    """The wanted hierarchy (auto, v2, v1) is mounted where we look."""
    try:
        followed = find_hierarchy(wanted, machine.cgroupfs, machine.procfs)
    except SourceUnavailable as error:
        found, _, mend = str(error).partition(": ")
        return Check("cgroups", "warn", found, mend)
    others = [text for version in ("v2", "v1") if (text := _mounted(machine, version, followed))]
    also = f" (also {', '.join(others)})" if others else ""
    return Check("cgroups", "ok", f"{_describe(followed)}{also}")


def check_cpu_stat(machine: Machine, wanted: str) -> Check:
    """The source that needs no BPF could serve: CPU time alone, from the files of the hierarchy."""
    try:
        followed = find_hierarchy(wanted, machine.cgroupfs, machine.procfs)
    except SourceUnavailable:
        return Check("cpu.stat", "warn", "no whole cgroup hierarchy", "see cgroups")
    name = "cpu.stat" if followed.version == 2 else "cpuacct.usage"
    places = (followed.mount / name, *followed.mount.glob(f"*/{name}"))  # old kernels have none in the root
    readable = next((place for place in places if read_text(place)), None)
    if readable is None:
        mend = "mount cgroup2: the source for where BPF is not allowed"
        return Check("cpu.stat", "warn", f"no readable {name} in {followed.mount}", mend)
    return Check("cpu.stat", "ok", str(readable))


def check_rapl(machine: Machine, *, is_alone: bool = True) -> Check:
    """RAPL's counters can be read through powercap, by the very meter that `run` would open.

    is_alone: whether no other meter has the CPU's energy.
    """
    try:
        vendor = read_identity(machine.procfs).vendor
        if machine.powercap is not None and host_source(machine.powercap) is not None:
            told = ", ".join(sorted(HostMeter(machine.powercap).zones))
            return Check("rapl", "ok", f"{told}, as the host bills this machine")
        meter = PowercapMeter(machine.sysfs, powercap=machine.powercap, vendor=vendor)
    except MeterUnavailable as error:
        what, _, mend = str(error).partition(": ")
        if not is_alone and isinstance(error, MeterAbsent):
            return Check("rapl", "ok", f"{what}: not needed, see meters")
        return Check("rapl", "warn", f"{what}: {_MODEL}" if is_alone else what, mend)
    try:
        zones = [_zone_name(reading) for reading in meter.read()]
        left_out = "; ".join(f"{error.path} {error.message}" for error in meter.errors)
    finally:
        meter.close()
    found = ", ".join(dict.fromkeys(zones))
    if meter.left_out:
        found = f"{found}; {meter.left_out}"
    if left_out:
        return Check("rapl", "warn", f"{found}; {left_out}", "see the kernel's log for intel_rapl")
    return Check("rapl", "ok", found)


def _zone_name(reading: ZoneReading) -> str:
    return reading.zone if reading.socket is None else f"{reading.zone}-{reading.socket}"


def _with_cpus(device: Path) -> str:
    """A PMU's name; where there is one for each kind of core, with its CPUs."""
    cpus = read_text(device / "cpus").strip()
    return f"{device.name} (CPUs {cpus})" if cpus else device.name


def _offline(machine: Machine) -> str:
    more = len(offline_cpus(machine.sysfs))
    return f"; {more} more CPUs may come: theirs are opened then" if more else ""


def _mend_events(pmus: list[str], tried: set[str], refused: set[str]) -> str:
    if not pmus or tried == refused:
        return _NO_PMU
    is_arm = any(name.startswith("arm") for name in pmus) and refused == {"cache_misses"}
    return _NOT_ALL_ARM if is_arm else _NOT_ALL


def _mounted(machine: Machine, version: str, followed: Hierarchy) -> str:
    try:
        found = find_hierarchy(version, machine.cgroupfs, machine.procfs)
    except SourceUnavailable:
        return ""
    return "" if found == followed else _describe(found)


def _describe(hierarchy: Hierarchy) -> str:
    controller = f" {hierarchy.controller}" if hierarchy.controller else ""
    return f"v{hierarchy.version}{controller} at {hierarchy.mount}"
