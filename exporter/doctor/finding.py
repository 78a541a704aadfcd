"""What a check of the doctor looks at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import ebpf
from ebpf.core_loader import OBJECT, refusal
from ebpf.perf_events import try_events
from ebpf.program import ProgramOptions
from ebpf.type_file import wrong_with
from exporter.doctor import probes

Status = Literal["ok", "warn", "fail"]
_PACKAGE = Path(ebpf.__file__).parent / "kernel"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor. mend: what to do, empty where all is well. required: a fail stops the exporter.

    status: ok; warn, something is lost or cannot be told; fail, the exporter could not run.
    """

    name: str
    status: Status
    found: str
    mend: str = ""
    required: bool = False

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.status == "ok"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the checks look, and what they try; all of it can be replaced.

    try_bpf: errno of a real bpf() call, 0 where it worked. try_events: errno of opening each counter.
    try_library: "" where a shared library loads, else why not. try_types: "" where a file has a kernel's
    types, else why not. try_programs: "" where ours can be loaded, else why not. find_bcc: the
    directory of bcc's package.
    """

    sysfs: Path = Path("/sys")
    procfs: Path = Path("/proc")
    cgroupfs: Path = Path("/sys/fs/cgroup")
    powercap: Path | None = None
    boot: Path = Path("/boot")
    modules: Path = Path("/lib/modules")
    sources: Path = Path("/usr/src")
    core_object: Path = _PACKAGE / OBJECT
    environ: Mapping[str, str] = field(default_factory=dict)
    try_bpf: Callable[[], int] = probes.try_bpf
    try_events: Callable[[Path], Mapping[str, int]] = try_events
    try_library: Callable[[str], str] = probes.try_library
    try_types: Callable[[Path], str] = wrong_with
    try_programs: Callable[[ProgramOptions], str] = refusal
    find_bcc: Callable[[], Path | None] = probes.find_bcc

    @property
    def release(self) -> str:
        """The kernel's release, as uname -r gives it; empty where procfs does not say."""
        return read_text(self.procfs / "sys/kernel/osrelease").strip()

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor of the release, (0, 0) where it cannot be told."""
        major, _, rest = self.release.partition(".")
        minor = rest.partition(".")[0].partition("-")[0]
        return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def read_text(path: Path) -> str:
    """The text of a file, empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
