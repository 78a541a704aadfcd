"""Choosing a counter source: the best one that this machine allows."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ebpf.boot import boot_id
from ebpf.bpf_source import open_program
from ebpf.counters import CounterSource
from ebpf.cpu_stat import CpuStatSource
from ebpf.errors import NotPermitted, SourceUnavailable, UsageError
from ebpf.process_times import ProcessTimes
from ebpf.program import LoadedProgram, ProgramOptions

log = logging.getLogger("ebpf")


def _load_core(options: ProgramOptions) -> LoadedProgram:
    from ebpf.core_loader import load

    return load(options)


def _load_bcc(options: ProgramOptions) -> LoadedProgram:
    from ebpf.bcc_loader import load  # bcc brings LLVM with it: 100 MB that only its users pay

    return load(options)


LOADERS: dict[str, Callable[[ProgramOptions], LoadedProgram]] = {"core": _load_core, "bcc": _load_bcc}


def open_source(loader: str, options: ProgramOptions) -> CounterSource:
    """The source a loader name asks for; "auto" tries core, bcc, then cpu.stat ("none"), one log line each.

    Raises SourceUnavailable where the named one, or all of them, cannot serve, UsageError for bcc with pins.
    """
    if options.pin is not None and loader == "bcc":
        raise UsageError("--ebpf.pin: what bcc loads cannot be pinned; use --ebpf.loader core or auto")
    for name in LOADERS if loader == "auto" else [loader]:
        if name == "none":
            break
        try:
            program = LOADERS[name](options)
            if options.pin is not None and name == "bcc":
                log.warning("bcc: what it loads cannot be pinned: while podjoule is down nothing is counted")
            return open_program(name, program, options)
        except SourceUnavailable as error:
            if loader != "auto":
                raise
            log.warning("%s: %s; trying the next source", name, error)
            if isinstance(error, NotPermitted):
                break
    processes = ProcessTimes(options.procfs, options.hierarchy) if options.by_process else None
    source = CpuStatSource(options.hierarchy, options.kept, boot_id(options.procfs), processes)
    log.info("counting CPU time from %s: no counters, no CPUs told apart", source.name)
    return source
