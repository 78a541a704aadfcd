"""Checks of the host: hardware counters, cgroups, cpu.stat, RAPL."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ebpf.cpus import offline_cpus
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy, find_hierarchy
from ebpf.perf_events import restricted
from estimator.meters.powercap_tree import POWERCAP, scan
from exporter.check import Check, Machine, read_text

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
    except SourceUnavailable:
        found = f"no {'cgroup' if wanted == 'auto' else wanted} hierarchy at or below {machine.cgroupfs}"
        return Check("cgroups", "warn", found, "mount cgroup2, or correct --host.cgroupfs")
    others = [text for version in ("v2", "v1") if (text := _mounted(machine, version, followed))]
    also = f" (also {', '.join(others)})" if others else ""
    return Check("cgroups", "ok", f"{_describe(followed)}{also}")


def check_cpu_stat(machine: Machine, wanted: str) -> Check:
    """The source that needs no BPF could serve: CPU time alone, from the files of the hierarchy."""
    try:
        followed = find_hierarchy(wanted, machine.cgroupfs, machine.procfs)
    except SourceUnavailable:
        return Check("cpu.stat", "warn", "no cgroup hierarchy", "see cgroups")
    name = "cpu.stat" if followed.version == 2 else "cpuacct.usage"
    places = (followed.mount / name, *followed.mount.glob(f"*/{name}"))  # old kernels have none in the root
    readable = next((place for place in places if read_text(place)), None)
    if readable is None:
        mend = "mount cgroup2: the source for where BPF is not allowed"
        return Check("cpu.stat", "warn", f"no readable {name} in {followed.mount}", mend)
    return Check("cpu.stat", "ok", str(readable))


def check_rapl(machine: Machine) -> Check:
    """The node's energy can be read."""
    powercap = machine.powercap or machine.sysfs / POWERCAP
    zones = [Path(zone.path) / "energy_uj" for zone in scan(powercap).zones]
    if not zones:
        what = f"no {powercap}" if not powercap.is_dir() else f"no zone in {powercap}"
        mend = "modprobe intel_rapl_msr (bare metal, Intel or AMD); a VM has none"
        return Check("rapl", "warn", f"{what}: {_MODEL}", mend)
    failures = {zone: failed for zone in zones if (failed := _errno_of_reading(zone))}
    if any(failed in _NO_RIGHT for failed in failures.values()):
        zone = next(zone for zone, failed in failures.items() if failed in _NO_RIGHT)
        return Check("rapl", "warn", f"no right to read {zone}", "run as root or give CAP_DAC_READ_SEARCH")
    readable = [zone for zone in zones if zone not in failures]
    if not readable:
        why = os.strerror(next(iter(failures.values())))
        return Check("rapl", "warn", f"{zones[0]}: {why}; {_MODEL}", "see the kernel's log for intel_rapl")
    names = [read_text(zone.with_name("name")).strip() or zone.parent.name for zone in readable]
    return Check("rapl", "ok", ", ".join(dict.fromkeys(names)))


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


def _errno_of_reading(path: Path) -> int:
    try:
        int(path.read_text())
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:
        return errno.EINVAL
    return 0
