"""Checks of the kernel: its version and configuration, BTF, bpf(), tracefs, and our rights."""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from pathlib import Path

from ebpf.capabilities import BITS, lacking, names_in, wanted_for_programs, written
from exporter.doctor.finding import Check, Machine, read_text

CORE_SINCE = (5, 10)  # BPF_PROG_TEST_RUN on a chosen CPU
_WANTED_CONFIG = ("BPF_SYSCALL", "BPF_JIT", "DEBUG_INFO_BTF", "CGROUPS", "PERF_EVENTS")
# The table in docs/security.md, in fewer words.
_NO_PROGRAMS = "CPU time from cpu.stat alone, no counters"
_LOST = {
    "BPF": _NO_PROGRAMS,
    "PERFMON": _NO_PROGRAMS,
    "SYS_ADMIN": _NO_PROGRAMS,
    "SYS_RESOURCE": "the same, unless the limit of locked memory is raised for us",
    "DAC_READ_SEARCH": "energy_uj cannot be read, a model stands in",
    "SYS_PTRACE": "processes of other users have no exe",
}
_NO_BTF = (
    "give the kernel's types with --ebpf.btf FILE (BTFHub has those of distributions' kernels), or install"
    " bcc and kernel headers, or use a kernel with CONFIG_DEBUG_INFO_BTF=y"
)
_BPF_MENDS = {
    errno.EPERM: "run as root or give CAP_BPF and CAP_PERFMON, and a seccomp profile that lets bpf() through",
    errno.ENOSYS: "use a kernel with CONFIG_BPF_SYSCALL=y on x86_64 or arm64",
}


def check_kernel(machine: Machine) -> Check:
    """The kernel is new enough for the CO-RE program."""
    if not machine.release:
        return Check("kernel", "warn", f"{machine.procfs} does not tell the release", "mount procfs there")
    if machine.version < CORE_SINCE:
        mend = "upgrade to 5.10 or later; bcc or cpu.stat serve until then"
        return Check("kernel", "warn", f"{machine.release}, too old for CO-RE", mend)
    return Check("kernel", "ok", machine.release)


def check_kernel_config(machine: Machine) -> Check:
    """The kernel was built with what podjoule needs, as far as it tells."""
    text = _kernel_config(machine)
    if not text:
        places = f"{machine.procfs}/config.gz or {machine.boot}/config-{machine.release}"
        return Check("kernel config", "warn", f"no {places}", "none needed where the checks below are ok")
    lines = set(text.splitlines())
    missing = [f"CONFIG_{name}" for name in _WANTED_CONFIG if f"CONFIG_{name}=y" not in lines]
    if missing:
        mend = f"use a kernel built with {', '.join(missing)}"
        return Check("kernel config", "warn", f"not set: {', '.join(missing)}", mend)
    return Check("kernel config", "ok", f"{', '.join(_WANTED_CONFIG)} set")


def check_btf(machine: Machine, file: Path | None = None) -> Check:
    """The kernel's types are described, by itself or in a file, which the CO-RE program needs."""
    path = machine.sysfs / "kernel/btf/vmlinux"
    if os.access(path, os.R_OK):
        return Check("btf", "ok", str(path))
    if file is None:
        return Check("btf", "warn", f"{path} cannot be read: no CO-RE", _NO_BTF)
    if wrong := machine.try_types(file):
        return Check("btf", "warn", wrong, "give the BTF of this very kernel, unpacked, or use bcc")
    return Check("btf", "ok", f"{file}, in the kernel's stead")


def check_bpf(machine: Machine) -> Check:
    """The kernel lets us call bpf()."""
    failed = machine.try_bpf()
    if not failed:
        return Check("bpf()", "ok", "a tracing program could be loaded")
    name = errno.errorcode.get(failed, str(failed))
    mend = _BPF_MENDS.get(failed, "see the kernel's log")
    return Check("bpf()", "warn", f"{name}: {os.strerror(failed)}; counters come from cpu.stat alone", mend)


def check_tracefs(machine: Machine, *, needed: bool) -> Check:
    """Tracefs is mounted; only bcc may want it."""
    rows = [line.split() for line in read_text(machine.procfs / "mounts").splitlines()]
    mounted = [row[1] for row in rows if len(row) > 2 and row[2] in ("tracefs", "debugfs")]
    if mounted:
        return Check("tracefs", "ok", mounted[0])
    if not needed:
        return Check("tracefs", "ok", "not mounted; not needed, CO-RE serves")
    mend = "mount -t tracefs tracefs /sys/kernel/tracing"
    return Check("tracefs", "warn", "not mounted; the bcc loader may want it", mend)


def check_capabilities(machine: Machine, *, by_process: bool = False) -> Check:
    """We may do what reading counters and RAPL takes."""
    fields = dict(
        line.split(":", 1) for line in read_text(machine.procfs / "self/status").splitlines() if ":" in line
    )
    try:
        held, user = names_in(int(fields["CapEff"], 16)), int(fields["Uid"].split()[1])
    except (KeyError, IndexError, ValueError):
        return Check("capabilities", "warn", f"{machine.procfs}/self/status does not tell", "mount procfs")
    missing = lacking(_wanted_capabilities(machine, user, by_process), held)
    if missing:
        losses = "; ".join(dict.fromkeys(_LOST[name] for name in missing))
        mend = f"run as root or give {written(missing)}"
        return Check("capabilities", "warn", f"without {written(missing)}: {losses}", mend)
    return Check("capabilities", "ok", written(name for name in BITS if name in held))


def _wanted_capabilities(machine: Machine, user: int, by_process: bool) -> list[str]:
    wanted = list(wanted_for_programs(machine.version))
    if user:  # energy_uj is 0400 root: its owner needs no capability
        wanted.append("DAC_READ_SEARCH")
    if by_process:
        wanted.append("SYS_PTRACE")
    return wanted


def _kernel_config(machine: Machine) -> str:
    try:
        return gzip.decompress((machine.procfs / "config.gz").read_bytes()).decode(errors="replace")
    except (OSError, EOFError, zlib.error):
        return read_text(machine.boot / f"config-{machine.release}")
