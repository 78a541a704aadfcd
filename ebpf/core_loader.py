"""The CO-RE loader: the compiled object through libbpf."""

from __future__ import annotations

import contextlib
import errno
import os
from importlib import resources

from ebpf import libbpf
from ebpf.capabilities import kernel_version, refusal_here
from ebpf.cpus import online_cpus
from ebpf.errors import NotPermitted, SourceUnavailable
from ebpf.perf_events import open_all
from ebpf.program import (
    EVENT_FIELDS,
    HOOKS,
    MAPS,
    LoadedProgram,
    ProgramOptions,
    event_mask,
    put_events,
    settings_of,
)

OBJECT = "sched_switch.bpf.o"
_NO_PREALLOC = 1
_NO_BTF = (errno.ENOENT, errno.ESRCH)


def _image() -> bytes:
    try:
        return resources.files("ebpf").joinpath(OBJECT).read_bytes()
    except OSError as error:
        raise SourceUnavailable(
            f"the CO-RE object ebpf/{OBJECT} is missing: run `make ebpf/{OBJECT}`"
        ) from error


def _prepare(options: ProgramOptions, n_cpu: int, mask: int) -> libbpf.Object:
    program = libbpf.Object(_image())
    program.set_initial(".rodata.settings", settings_of(options, n_cpu, mask))
    program.set_max_entries("counts", options.map_entries)
    for name in ("cpus", *EVENT_FIELDS):
        program.set_max_entries(name, n_cpu)
    # Allocating in the scheduler's path is safe since 6.1 and keeps memory with the cgroups there are.
    if kernel_version() >= (6, 1):
        program.set_flags("counts", _NO_PREALLOC)
    return program


def _explained(error: OSError) -> SourceUnavailable:
    what = f"CO-RE programs cannot run: {error.strerror or error}"
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(f"{what}; {refusal_here()}")
    if error.errno in _NO_BTF:
        return SourceUnavailable(
            f"{what}; this kernel has no BTF (/sys/kernel/btf/vmlinux): use --ebpf.loader bcc"
        )
    return SourceUnavailable(f"{what}; --log.level debug shows what libbpf says")


def load(options: ProgramOptions) -> LoadedProgram:
    """Load and attach the CO-RE programs. Raises SourceUnavailable, with nothing left behind."""
    with contextlib.ExitStack() as stack:
        try:
            n_cpu = libbpf.possible_cpus()
            events = open_all(options.events, online_cpus(options.sysfs), options.sysfs)
            for descriptors in events.values():
                for fd in descriptors.values():
                    stack.callback(os.close, fd)
            program = _prepare(options, n_cpu, event_mask(events))
            stack.callback(program.close)
            program.load()
            put_events(events, program.map_fd)
            for hook in HOOKS:
                program.attach(hook)
        except OSError as error:
            raise _explained(error) from error
        return LoadedProgram(
            maps={name: program.map_fd(name) for name in MAPS},
            programs={name: program.program_fd(name) for name in (*HOOKS, "charge_running")},
            charge_running=program.program_fd("charge_running"),
            n_cpu=n_cpu,
            available=frozenset({"cpu_ns", "switches", *events}),
            close=stack.pop_all().close,
        )
