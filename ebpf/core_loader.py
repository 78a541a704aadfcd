"""The CO-RE loader: the compiled object through libbpf."""

from __future__ import annotations

import contextlib
import errno
import os
from importlib import resources

from ebpf import libbpf
from ebpf.boot import boot_id
from ebpf.capabilities import kernel_version, refusal_here
from ebpf.cpus import online_cpus
from ebpf.errors import NotPermitted, SourceUnavailable
from ebpf.perf_events import open_all
from ebpf.pins import Pins, open_pins
from ebpf.program import (
    EVENT_FIELDS,
    HOOKS,
    MAPS,
    PINNED_MAPS,
    LoadedProgram,
    ProgramOptions,
    event_mask,
    layout_of,
    put_events,
    settings_of,
)

OBJECT = "sched_switch.bpf.o"
_NO_PREALLOC = 1
_PRESERVE_ELEMS = 1 << 11  # kernel 5.10: events stay in the map when the process that put them there ends
_NO_BTF = (errno.ENOENT, errno.ESRCH)


def _image() -> bytes:
    try:
        return resources.files("ebpf").joinpath(OBJECT).read_bytes()
    except OSError as error:
        raise SourceUnavailable(
            f"the CO-RE object ebpf/{OBJECT} is missing: run `make ebpf/{OBJECT}`"
        ) from error


def _prepare(options: ProgramOptions, n_cpu: int, mask: int, pins: Pins) -> libbpf.Object:
    program = libbpf.Object(_image())
    program.set_initial(".rodata.settings", settings_of(options, n_cpu, mask))
    program.set_max_entries("counts", options.map_entries)
    for name in ("cpus", *EVENT_FIELDS):
        program.set_max_entries(name, n_cpu)
    # Allocating in the scheduler's path is safe since 6.1 and keeps memory with the cgroups there are.
    if kernel_version() >= (6, 1):
        program.set_flags("counts", _NO_PREALLOC)
    if pins.folder is not None:
        for name in PINNED_MAPS:
            program.set_pin(name, f"{pins.folder}/{name}")
        for name in EVENT_FIELDS:
            program.set_flags(name, _PRESERVE_ELEMS)
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
    """Load and attach the CO-RE programs. Raises SourceUnavailable, with nothing left behind.

    Where they are pinned, ours are attached before those of the process before us go: for a moment both run,
    and what the first has charged to the CPU's owner is no longer there for the second (accounting.h).
    """
    with contextlib.ExitStack() as stack:
        try:
            n_cpu = libbpf.possible_cpus()
            events = open_all(options.events, online_cpus(options.sysfs), options.sysfs)
            opened = stack.enter_context(contextlib.ExitStack())
            for descriptors in events.values():
                for fd in descriptors.values():
                    opened.callback(os.close, fd)
            mask = event_mask(events)
            pins = open_pins(options.pin, layout_of(options, n_cpu, mask))
            stack.callback(pins.close)
            program = _prepare(options, n_cpu, mask, pins)
            stack.callback(program.close)
            program.load()
            if pins.is_taken_over:
                opened.close()  # those in the maps go on counting
            else:
                put_events(events, program.map_fd)
            for hook in HOOKS:
                program.attach(hook)
            pins.keep(program.link_fd)
            identity = _identity(options, program) if pins.folder else ""
        except OSError as error:
            raise _explained(error) from error
        return LoadedProgram(
            maps={name: program.map_fd(name) for name in MAPS},
            programs={name: program.program_fd(name) for name in (*HOOKS, "charge_running")},
            charge_running=program.program_fd("charge_running"),
            n_cpu=n_cpu,
            available=frozenset({"cpu_ns", "switches", *events}),
            close=stack.pop_all().close,
            identity=identity,
        )


def _identity(options: ProgramOptions, program: libbpf.Object) -> str:
    boot = boot_id(options.procfs)
    return f"{boot} map {libbpf.map_id(program.map_fd('counts'))}" if boot else ""
