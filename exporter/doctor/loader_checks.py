"""Checks of what loads the kernel program: libbpf, the CO-RE object, bcc and its headers."""

from __future__ import annotations

import os
from pathlib import Path

from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import find_hierarchy
from ebpf.program import ProgramOptions
from exporter.configuration.option_tree import Ebpf
from exporter.doctor.finding import Check, Machine

_NO_BCC = "install the distribution's python3-bpfcc (the bcc on PyPI is another project)"
_NOT_LOADED = (
    "give the rights it names; under lockdown=confidentiality no program may read the kernel: boot with"
    " lockdown=integrity, or live with cpu.stat"
)
_NO_HEADERS = "install linux-headers-$(uname -r), or name a tree in BCC_KERNEL_SOURCE"


def check_libbpf(machine: Machine) -> Check:
    """Libbpf 1 is installed."""
    reason = machine.try_library("libbpf.so.1")
    if reason:
        return Check("libbpf", "warn", reason, "install libbpf1 (libbpf 1.0 or later)")
    return Check("libbpf", "ok", "libbpf.so.1")


def check_core_object(machine: Machine) -> Check:
    """The compiled CO-RE program is there; wheels and images have it, a checkout builds it."""
    if not os.access(machine.core_object, os.R_OK):
        return Check(
            "core object", "warn", f"no {machine.core_object}", f"make ebpf/kernel/{machine.core_object.name}"
        )
    return Check("core object", "ok", f"{machine.core_object.stat().st_size} bytes")


def check_programs(machine: Machine, ebpf: Ebpf, *, by_process: bool) -> Check:
    """The very programs that a run loads are let in by the kernel, with the rights we have."""
    try:
        followed = find_hierarchy(ebpf.cgroup_hierarchy, machine.cgroupfs, machine.procfs)
    except SourceUnavailable:
        return Check("programs", "warn", "not tried without a cgroup hierarchy", "see cgroups")
    options = ProgramOptions(
        followed, machine.sysfs, machine.procfs, ebpf.map_entries, by_process=by_process, btf=ebpf.btf
    )
    if refused := machine.try_programs(options):
        return Check("programs", "warn", refused, _NOT_LOADED)
    return Check("programs", "ok", "loaded and let go")


def check_bcc(machine: Machine, *, needed: bool) -> Check:
    """Bcc could load the program; without need of it, its absence is no fault."""
    package, headers = machine.find_bcc(), find_headers(machine)
    if package is None or machine.try_library("libbcc.so.0"):
        return _missing("bcc is not installed", _NO_BCC, needed)
    if headers is None:
        return _missing("bcc is installed, kernel headers are not", _NO_HEADERS, needed)
    return Check("bcc", "ok", f"{package}, headers in {headers}")


def find_headers(machine: Machine) -> Path | None:
    """Kernel headers bcc can compile against: named ones, this kernel's, its kheaders, or any other's.

    Those of another kernel are merged from the distribution's two packages, as the loader does.
    """
    named = machine.environ.get("BCC_KERNEL_SOURCE")
    own = machine.modules / machine.release / "build"
    kernels = [Path(named)] if named else []
    kernels += [own, machine.sysfs / "kernel/kheaders.tar.xz", *sorted(machine.modules.glob("*/build"))]
    kernels += sorted(machine.sources.glob("linux-headers-*-common"))
    return next((place for place in kernels if place.exists()), None)


def _missing(found: str, mend: str, needed: bool) -> Check:
    if needed:
        return Check("bcc", "warn", found, mend)
    return Check("bcc", "ok", f"{found}; not needed, CO-RE serves")
