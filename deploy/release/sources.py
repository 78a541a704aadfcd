"""The sources of a release: the files that git tracks, of this checkout, with nothing else of it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.release.errors import ReleaseError
from deploy.release.programs import run

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Sources:
    """A copy of the tracked files.

    commit: 40 hex digits. epoch: when it was committed, in seconds; every file of the release is dated so.
    changed: the files differ from that commit, which is no release to publish.
    """

    folder: Path
    commit: str
    epoch: int
    changed: bool
    version: str


def export(folder: Path, root: Path = ROOT) -> Sources:
    """Copy them to a folder that is not there yet. Raises ReleaseError."""
    for name in run("git", "ls-files", "-z", folder=root).split("\0"):
        if name and (root / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
            target.chmod(0o755 if (root / name).stat().st_mode & 0o100 else 0o644)
    commit, epoch = run("git", "log", "-1", "--format=%H %ct", folder=root).split()
    changed = bool(run("git", "status", "--porcelain", "--untracked-files=no", folder=root).strip())
    found = re.search(r'^VERSION = "(.*)"', (folder / "ebpf/version.py").read_text(), re.MULTILINE)
    if found is None:
        raise ReleaseError(f"no VERSION in {folder / 'ebpf/version.py'}")
    return Sources(folder, commit, int(epoch), changed, found[1])
