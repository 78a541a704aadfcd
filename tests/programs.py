"""The programs that tests start: one table, from which set-up installs and through which tests find them.

`python -m tests.programs` prints what is missing and ends with 1 if anything is.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".tsv")
_OURS = tuple(f"{ROOT / folder}/" for folder in ("tests", "deploy"))
_OPTIONAL = {"docker"}  # asked for where it is there; nothing needs it
_STANDARD = {subprocess.__file__, os.__file__}
_STARTS = {"subprocess.Popen", "os.exec", "os.posix_spawn"}


class ProgramMissing(FileNotFoundError):
    """A program of the table is not on this machine; the message says how to have it. Tests skip with it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A row of the table. path: where it is if no PATH leads there, else ""."""

    name: str
    package: str
    purpose: str
    path: str = ""

    def find(self) -> str | None:
        """Where it is on this machine."""
        if self.path:
            return self.path if Path(self.path).exists() else None
        return shutil.which(self.name, path=f"{sys.prefix}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@functools.cache
def table() -> dict[str, Program]:
    """All rows, by name."""
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return {row.name: row for row in (Program(*line.split("\t")) for line in lines)}


def program(name: str) -> str:
    """The path of a program of the table. Raises ProgramMissing; KeyError for one that is not in it."""
    row = table()[name]
    found = row.find()
    if found is None:
        raise ProgramMissing(f"needs {name}: .ci/setup test installs it ({row.package})")
    return found


def kept() -> Path:
    """Where tests keep what they make once, for this and other checkouts."""
    return Path.home() / ".cache/podjoule"


def refuse_unlisted() -> None:
    """From now on, a program that code of ours starts has to be in the table, or to be made here."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in _STARTS and _started_by_us():
        started = Path(os.fsdecode(arguments[0]))  # type: ignore[arg-type]
        if started.name not in {*table(), *_OPTIONAL} and not _is_made_here(started):
            raise LookupError(f"a test starts {started}, which is not in {TABLE.relative_to(ROOT)}")


def _started_by_us() -> bool:
    frame = sys._getframe(2)
    while frame.f_back and frame.f_code.co_filename in _STANDARD:
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(_OURS)


def _is_made_here(started: Path) -> bool:
    """Our own scripts and environment, this Python, the cluster's programs, what a test compiled or keeps."""
    built = Path(os.environ.get("CLUSTER_BIN") or ROOT / ".cluster/bin")
    if started.parent == Path():
        return (built / started).exists()
    places = (ROOT, sys.prefix, sys.base_prefix, tempfile.gettempdir(), built, kept())
    return any(started.is_relative_to(place) for place in places)


def main() -> int:
    """Print the rows that are not on this machine; 1 if there are any."""
    missing = [row for row in table().values() if row.find() is None]
    for row in missing:
        print(f"{row.name} ({row.package}) is missing: it {row.purpose}")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
