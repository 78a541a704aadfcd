"""The CO-RE loader: the compiled object through libbpf."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from pathlib import Path

from ebpf import bpf_maps, libbpf
from ebpf.boot import boot_id
from ebpf.btf import OWN_TYPES
from ebpf.capabilities import kernel_version, refusal_here
from ebpf.cpu_events import CpuEvents
from ebpf.cpu_places import CpuPlaces, socket_entries
from ebpf.cpus import online_cpus
from ebpf.errors import NotPermitted, SourceUnavailable, UsageError
from ebpf.objects import compiled
from ebpf.perf_events import EVENT_FIELDS
from ebpf.pins import Pins, open_pins
from ebpf.program import (
    HOOKS,
    LoadedProgram,
    Parts,
    ProgramOptions,
    event_mask,
    layout_of,
    settings_of,
)
from ebpf.type_file import check_against_kernel, kernel_knows_its_types, usable

OBJECT = "sched_switch.bpf.o"
_NO_PREALLOC = 1
_PRESERVE_ELEMS = 1 << 11  # kernel 5.10: events stay in the map when the process that put them there ends
_NO_BTF = (errno.ENOENT, errno.ESRCH)


@dataclass(frozen=True, slots=True)
class _Kernel:
    """What differs between kernels. types: the file that stands in for what it does not know of itself."""

    n_cpu: int
    parts: Parts
    by_copy: bool
    types: Path | None

    def program_of(self, hook: str) -> str:
        """The name in the object."""
        return f"{hook}_raw" if self.by_copy else hook


def _look(options: ProgramOptions) -> _Kernel:
    by_copy = options.by_copy or not kernel_knows_its_types()
    return _Kernel(
        n_cpu=libbpf.possible_cpus(),
        parts=Parts(has_ring=bpf_maps.has_ring_buffers()),
        by_copy=by_copy,
        types=usable(options.btf, by_copy=by_copy),
    )


def _prepare(options: ProgramOptions, kernel: _Kernel, mask: int, pins: Pins) -> libbpf.Object:
    program = libbpf.Object(compiled(OBJECT), kernel.types)
    settings = settings_of(options, kernel.n_cpu, mask, by_copy=kernel.by_copy)
    program.set_initial(".rodata.settings", settings)
    program.set_max_entries("counts", options.map_entries)
    for name in ("cpus", "places", "interrupts", "groups", *EVENT_FIELDS):
        program.set_max_entries(name, kernel.n_cpu)
    program.set_max_entries("sockets", socket_entries(kernel.n_cpu))
    # Allocating in the scheduler's path is safe since 6.1 and keeps memory with the cgroups there are.
    if kernel_version() >= (6, 1):
        program.set_flags("counts", _NO_PREALLOC)
    if pins.folder is not None:
        for name in kernel.parts.pinned_maps:
            program.set_pin(name, f"{pins.folder}/{name}")
        for name in EVENT_FIELDS:
            program.set_flags(name, _PRESERVE_ELEMS)
    _leave_out(program, kernel)
    return program


def _leave_out(program: libbpf.Object, kernel: _Kernel) -> None:
    """What this kernel does not have, and what nobody asks of it."""
    wanted = {kernel.program_of(hook) for hook in kernel.parts.hooks}
    for name in {name for hook in HOOKS for name in (hook, f"{hook}_raw")} - wanted:
        program.leave_out_program(name)
    if not kernel.types:
        program.leave_out_program("check_types")
    if not kernel.parts.has_ring:
        program.leave_out_map("cgroup_events")


def _explained(error: OSError) -> SourceUnavailable:
    said = f" (the verifier: {libbpf.verdicts.pop()})" if libbpf.verdicts else ""
    what = f"CO-RE programs cannot run: {error.strerror or error}{said}"
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(f"{what}; {refusal_here()}")
    if error.errno in _NO_BTF:
        return SourceUnavailable(
            f"{what}; this kernel has no BTF ({OWN_TYPES}): give its types with --ebpf.btf FILE, or use"
            " --ebpf.loader bcc"
        )
    return SourceUnavailable(f"{what}; --log.level debug shows what libbpf says")


def refusal(options: ProgramOptions) -> str:
    """Why load() would be refused here; empty where it would not. Nothing is attached, and nothing pinned."""
    with contextlib.ExitStack() as stack:
        try:
            kernel = _look(options)
            events = CpuEvents(options.events, online_cpus(options.sysfs), options.sysfs, options.procfs)
            stack.callback(events.close)
            program = _prepare(options, kernel, event_mask(events.fields), Pins())
            stack.callback(program.close)
            program.load()
        except OSError as error:
            return str(_explained(error))
        except (SourceUnavailable, UsageError) as error:
            return str(error)
    return ""


def load(options: ProgramOptions) -> LoadedProgram:
    """Load and attach the CO-RE programs.

    Raises SourceUnavailable, with nothing left behind, UsageError for options.btf.

    Where they are pinned, ours are attached before those of the process before us go: for a moment both run,
    and what the first has charged to the CPU's owner is no longer there for the second (accounting.h).
    """
    with contextlib.ExitStack() as stack:
        try:
            kernel = _look(options)
            events = CpuEvents(options.events, online_cpus(options.sysfs), options.sysfs, options.procfs)
            stack.callback(events.close)
            mask, parts = event_mask(events.fields), kernel.parts
            pins = open_pins(options.pin, layout_of(options, kernel.n_cpu, mask, parts), parts)
            stack.callback(pins.close)
            program = _prepare(options, kernel, mask, pins)
            stack.callback(program.close)
            program.load()
            if kernel.types:
                check_against_kernel(program.program_fd("check_types"), kernel.types)
            if pins.is_taken_over:
                events.leave(program.map_fd)
            else:
                events.put(program.map_fd)
            places = CpuPlaces(options.sysfs, kernel.n_cpu)
            places.put(program.map_fd)
            for hook in parts.hooks:
                program.attach(kernel.program_of(hook))
            pins.keep(lambda hook: program.link_fd(kernel.program_of(hook)))
            identity = _identity(options, program) if pins.folder else ""
        except OSError as error:
            raise _explained(error) from error
        names = {hook: kernel.program_of(hook) for hook in parts.hooks} | {"charge_running": "charge_running"}
        return LoadedProgram(
            maps={name: program.map_fd(name) for name in parts.maps},
            programs={hook: program.program_fd(name) for hook, name in names.items()},
            charge_running=program.program_fd("charge_running"),
            n_cpu=kernel.n_cpu,
            available=frozenset({"cpu_ns", "switches", *events.fields}),
            close=stack.pop_all().close,
            identity=identity,
            events=events,
            places=places,
            put_to_rest=program.program_fd("put_to_rest"),
            read_interrupts=program.program_fd("read_interrupts"),
        )


def _identity(options: ProgramOptions, program: libbpf.Object) -> str:
    boot = boot_id(options.procfs)
    return f"{boot} map {bpf_maps.map_id(program.map_fd('counts'))}" if boot else ""
