"""Which virtual machine runs in which cgroup: its UUID stands on its emulator's command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_EMULATOR = re.compile(rb"(?:.*/)?(?:qemu-system-\w+|qemu-kvm|kvm|cloud-hypervisor)")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# libvirt and KubeVirt give -uuid, Proxmox -smbios type=1,uuid=…, cloud-hypervisor --platform uuid=….
_TELLING = (b"-uuid", b"--uuid", b"-smbios", b"--smbios", b"--platform")


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running one. uuid: the machine's, in lower case. cgroups: paths as /proc/PID/cgroup has them, one a
    hierarchy; seen from a cgroup namespace they may begin with "/..", which stands for what is hidden."""

    uuid: str
    cgroups: tuple[str, ...]

    def is_in(self, cgroup: str) -> bool:
        """Whether it runs in this cgroup or below it; cgroup: its path from the hierarchy's root."""
        return any(_is_below(path, cgroup) for path in self.cgroups)


def running(procfs: Path) -> list[Emulator]:
    """Every emulator whose machine has a UUID, by a walk through all processes: 10 µs each.

    procfs: the host's. What ends meanwhile or may not be read is left out; nothing is raised.
    """
    return [emulator for folder in _processes(procfs) if (emulator := _emulator(folder))]


def _processes(procfs: Path) -> Iterator[Path]:
    try:
        yield from (folder for folder in procfs.iterdir() if folder.name.isdigit())
    except OSError:
        return


def _emulator(folder: Path) -> Emulator | None:
    try:
        arguments = (folder / "cmdline").read_bytes().split(b"\0")
        if not _EMULATOR.fullmatch(arguments[0]):
            return None
        uuid, cgroups = _uuid(arguments), (folder / "cgroup").read_text(errors="surrogateescape")
    except OSError:
        return None
    paths = tuple(line.split(":", 2)[2] for line in cgroups.splitlines() if line.count(":") >= 2)
    return Emulator(uuid, paths) if uuid else None


def _uuid(arguments: Sequence[bytes]) -> str:
    for option, value in itertools.pairwise(arguments):
        if option in _TELLING:
            for part in value.split(b","):
                name, _, given = part.rpartition(b"=")
                if name in (b"", b"uuid") and _UUID.fullmatch(given):
                    return given.decode().lower()
    return ""


def _is_below(path: str, cgroup: str) -> bool:
    hidden = path.startswith("/..")
    while path.startswith("/.."):
        path = path[3:]
    if not hidden:
        return f"{path}/".startswith(f"{cgroup}/")
    tails = (cgroup[at:] for at, character in enumerate(cgroup) if character == "/")
    return any(f"{path}/".startswith(f"{tail}/") for tail in tails)
