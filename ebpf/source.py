"""Choosing a counter source: the best one that this machine allows."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ebpf.boot import boot_id
from ebpf.bpf_source import open_program
from ebpf.counters import CounterSource
from ebpf.cpu_stat import CpuStatSource
from ebpf.errors import NotPermitted, SourceUnavailable
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

    Raises SourceUnavailable where the named one, or all of them, cannot serve.
    """
    for name in LOADERS if loader == "auto" else [loader]:
        if name == "none":
            break
        try:
            return open_program(name, LOADERS[name](options), options)
        except SourceUnavailable as error:
            if loader != "auto":
                raise
            log.warning("%s: %s; trying the next source", name, error)
            if isinstance(error, NotPermitted):
                break
    source = CpuStatSource(options.hierarchy, options.kept, boot_id(options.procfs))
    log.info("counting CPU time from %s: no counters, no CPUs told apart", source.name)
    return source
