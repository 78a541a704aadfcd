"""What a measurement of our own does without, in one line, and how to have it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebpf import libbpf
from ebpf.cpu_stat import CpuStatSource
from ebpf.cpus import shows_every_process
from ebpf.errors import SourceUnavailable
from exporter.configuration.config import Config
from exporter.tick.measurement import Measurement

_OF_SUDO = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_RAPL = frozenset({"rapl", "perf"})


@dataclass(frozen=True, slots=True)
class Lacking:
    """What is missing: to_root is what root would have, to_all what nobody has on this machine as it is."""

    to_root: Sequence[str] = ()
    to_all: Sequence[str] = ()

    def line(self, sudo: str) -> str:
        """For people; "" where nothing is missing. sudo: how to call this as root."""
        pronoun = "it" if len(self.to_root) == 1 and not self.to_root[0].endswith("s") else "them"
        parts = [f"{_listed(self.to_root)} ({sudo} has {pronoun})"] if self.to_root else []
        parts += [f"{_listed(self.to_all)} (podjoule doctor)"] if self.to_all else []
        return f"missing: {', '.join(parts)}" if parts else ""


def lacking(measurement: Measurement, config: Config, user: int, has_libbpf: bool = True) -> Lacking:
    """What this measurement does without, and did not ask to. user: whose it is, 0 for root. has_libbpf:
    whether it is installed, without which root is no help."""
    power = measurement.power
    lacks_counts = measurement.source.name == CpuStatSource.name and config.ebpf.loader != "none"
    lacks_meter = power.source.info.source in ("model", "none")
    is_denied = user != 0 and bool(_RAPL & power.unserving.keys())
    lacks_processes = not shows_every_process(config.host.procfs)
    found = {
        "BPF's counts": (lacks_counts and has_libbpf, user != 0),
        "libbpf1 for BPF's counts": (lacks_counts and not has_libbpf, False),
        "RAPL's meter": (lacks_meter and is_denied, True),
        "a meter": (lacks_meter and not is_denied, False),
        "others' processes": (lacks_processes, user != 0),
    }
    return Lacking(
        [what for what, (is_missing, is_roots) in found.items() if is_missing and is_roots],
        [what for what, (is_missing, is_roots) in found.items() if is_missing and not is_roots],
    )


def line_of(measurement: Measurement, config: Config) -> str:
    """The line for this process."""
    return lacking(measurement, config, os.geteuid(), _has_libbpf()).line(sudo(sys.argv[0], os.environ))


def _has_libbpf() -> bool:
    try:
        libbpf.library()
    except SourceUnavailable:
        return False
    return True


def _listed(what: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(what[:-1]), what[-1])))


def sudo(program: str, environ: Mapping[str, str]) -> str:
    """How `podjoule top` is called as root: by its path, where sudo would not look, as after pipx.

    program: how this one was called.
    """
    found = shutil.which(program, path=environ.get("PATH")) if Path(program).name == "podjoule" else None
    is_known = found is None or str(Path(found).parent) in _OF_SUDO
    return f"sudo {'podjoule' if is_known else found} top"
