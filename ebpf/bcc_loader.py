"""The bcc loader, for kernels without BTF. The one file that imports bcc."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ebpf import bpf_maps, libbpf
from ebpf.btf import offsets
from ebpf.capabilities import kernel_version, lacking, names_in, read_sets, refusal, wanted_for_programs
from ebpf.cpu_events import CpuEvents
from ebpf.cpu_places import CpuPlaces, socket_entries
from ebpf.cpus import online_cpus
from ebpf.errors import NotPermitted, SourceUnavailable, UsageError
from ebpf.program import LoadedProgram, Parts, ProgramOptions, event_mask
from ebpf.type_file import check_against_kernel, usable

log = logging.getLogger("ebpf")

DISTRIBUTION_PACKAGES = Path(
    "/usr/lib/python3/dist-packages"
)  # Debian's python3-bpfcc; PyPI's bcc is another
MODULES, SOURCES = Path("/lib/modules"), Path("/usr/src")


def import_bcc() -> ModuleType:
    """bcc, from the virtual environment or the distribution. Raises SourceUnavailable."""
    try:
        return importlib.import_module("bcc")
    except ImportError:
        sys.path.append(str(DISTRIBUTION_PACKAGES))
    try:
        return importlib.import_module("bcc")
    except ImportError as error:
        raise SourceUnavailable(f"bcc cannot be imported ({error}): install python3-bpfcc") from error
    finally:
        sys.path.remove(str(DISTRIBUTION_PACKAGES))


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]


def _merge(trees: list[Path], into: Path) -> None:
    """Links that show several trees as one; where two have the same folder, its contents are merged."""
    names = sorted({entry.name for tree in trees for entry in tree.iterdir()})
    for name in names:
        having = [tree / name for tree in trees if (tree / name).exists()]
        if len(having) > 1 and all(path.is_dir() for path in having):
            (into / name).mkdir()
            _merge([path.resolve() for path in having], into / name)
        elif having:
            (into / name).symlink_to(having[0].resolve())


@contextlib.contextmanager
def kernel_headers(offsets_known: bool) -> Iterator[str | None]:
    """The value for BCC_KERNEL_SOURCE: None where the running kernel's own headers are in their place.

    Headers of another version, Debian's two trees merged, serve when no struct is read through them.
    """
    if (MODULES / platform.release() / "build").exists():
        yield None
        return
    common = sorted(SOURCES.glob("linux-headers-*-common"), key=_version)
    if not common or not offsets_known:
        raise SourceUnavailable(
            f"no headers of kernel {platform.release()} under {MODULES} and no BTF to do without them:"
            f" install linux-headers-{platform.release()}"
        )
    flavours = SOURCES.glob(common[-1].name.removesuffix("common") + "*[!n]")
    plain = sorted(flavours, key=lambda path: len(path.name))[:1]  # shorter than cloud and rt
    with tempfile.TemporaryDirectory(prefix="podjoule-headers-") as merged:
        _merge([*plain, common[-1]], Path(merged))
        yield merged


def _flags(
    options: ProgramOptions, parts: Parts, n_cpu: int, mask: int, offsets: dict[str, int], include: Path
) -> list[str]:
    hierarchy = options.hierarchy
    macros = {
        "N_CPU": n_cpu,
        "SOCKET_ENTRIES": socket_entries(n_cpu),
        "MAP_ENTRIES": options.map_entries,
        "EVENT_MASK": mask,
        "BY_PROCESS": int(options.by_process),
        "HIERARCHY": hierarchy.number,
        "V1_CPUACCT": int(hierarchy.controller == "cpuacct"),
        "RING": int(parts.has_ring),
        **offsets,
    }
    return [f"-I{include}", "-Wno-everything", *(f"-D{name}={value}" for name, value in macros.items())]


def _explained(what: str) -> SourceUnavailable:
    """bcc tells no errno: a capability that is not there is the reason, since nothing runs without it."""
    version = kernel_version()
    held = names_in(read_sets().effective)
    if lacking(wanted_for_programs(version), held):
        return NotPermitted(f"{what}; {refusal(version, held)}")
    return SourceUnavailable(what)


def _compile(bcc: ModuleType, flags: list[str], source: Path, headers: str | None) -> Any:
    before = os.environ.get("BCC_KERNEL_SOURCE")
    if headers:
        os.environ["BCC_KERNEL_SOURCE"] = headers
    try:
        return bcc.BPF(src_file=os.fsencode(source), cflags=flags)
    except Exception as error:
        raise _explained(f"bcc cannot compile {source.name}: {error}") from error
    finally:
        if headers and before is None:
            del os.environ["BCC_KERNEL_SOURCE"]
        elif headers and before is not None:
            os.environ["BCC_KERNEL_SOURCE"] = before


def _load_raw(bcc: ModuleType, program: Any, name: str) -> int:
    """Load a program that is run when we say so; its descriptor."""
    return int(program.load_func(name.encode(), bcc.BPF.RAW_TRACEPOINT).fd)


def _attach(bcc: ModuleType, program: Any, hooks: Mapping[str, str], types: Path | None) -> dict[str, int]:
    """Load and attach every program: name -> descriptor. types: the file that offsets came from."""
    try:
        if types:
            check_against_kernel(_load_raw(bcc, program, "check_types"), types)
        for hook, tracepoint in hooks.items():
            program.attach_raw_tracepoint(tp=tracepoint.encode(), fn_name=hook.encode())
        ours = ("charge_running", "put_to_rest", "read_interrupts")
        run_by_us = {name: _load_raw(bcc, program, name) for name in ours}
    except UsageError:
        raise
    except Exception as error:
        raise _explained(f"bcc cannot attach: {error}") from error
    return {name: program.funcs[name.encode()].fd for name in hooks} | run_by_us


def _offsets(types: Path | None) -> dict[str, int]:
    """Empty where only headers can tell."""
    try:
        return offsets(types)
    except OSError as error:
        log.debug("bcc: %s", error)
        return {}


def load(options: ProgramOptions) -> LoadedProgram:
    """Compile, load and attach.

    Raises SourceUnavailable, with nothing left behind, UsageError for options.btf.
    """
    types = usable(options.btf, by_copy=options.by_copy)
    bcc = import_bcc()
    known = _offsets(types)
    with contextlib.ExitStack() as stack:
        try:
            n_cpu = libbpf.possible_cpus()
            parts = Parts(has_ring=bpf_maps.has_ring_buffers())
            events = CpuEvents(options.events, online_cpus(options.sysfs), options.sysfs, options.procfs)
        except OSError as error:
            raise SourceUnavailable(f"bcc programs cannot run: {error}") from error
        stack.callback(events.close)
        with kernel_headers(bool(known)) as headers:
            folder = Path(__file__).with_name("kernel")
            flags = _flags(options, parts, n_cpu, event_mask(events.fields), known, folder)
            program = _compile(bcc, flags, folder / "sched_switch.bcc.c", headers)
        stack.callback(program.cleanup)
        events.put(lambda field: int(program[field.encode()].map_fd))
        places = CpuPlaces(options.sysfs, n_cpu)
        places.put(lambda name: int(program[name.encode()].map_fd))
        programs = _attach(bcc, program, parts.hooks, types)
        program.free_bcc_memory()
        return LoadedProgram(
            maps={name: program[name.encode()].map_fd for name in parts.maps},
            read_interrupts=programs.pop("read_interrupts"),
            programs={name: fd for name, fd in programs.items() if name != "put_to_rest"},
            charge_running=programs["charge_running"],
            n_cpu=n_cpu,
            available=frozenset({"cpu_ns", "switches", *events.fields}),
            close=stack.pop_all().close,
            events=events,
            places=places,
            put_to_rest=programs["put_to_rest"],
        )
