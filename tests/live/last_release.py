"""The code of the last release, from this repository's history, and the files that it wrote.

    python -m tests.live.last_release    # writes tests/fixtures/state/last_release.* anew, after a release

To be called after RELEASE is set to another commit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.servers import ROOT
from tests.programs import program

RELEASE = "7efdc6a55056dca71761ac34570d81bed78dafe5"
FILES = ROOT / "tests/fixtures/state"
_PARTS = ("ebpf", "estimator", "exporter", "models", "Makefile")
_OBJECTS = ("ebpf/kernel/sched_switch.bpf.o", "ebpf/kernel/pids.bpf.o")

# Run by the release's own code, its tests among it: a node in memory that has worked for three ticks.
_WRITE = """
import json, sys
from pathlib import Path
from ebpf.program import layout_of
from estimator.calibration.state import save_state
from tests.ebpf.test_layout import LAYOUT_OPTIONS
from tests.estimator.calibration.test_state import FITS, MACHINE
from tests.exporter.restarts.test_continuity import FILE, OPTIONS, Life, begun, counters
folder = Path(sys.argv[1])
life = Life(folder, **OPTIONS)
node, samples = begun(life)
life.end(node)
(life.state / FILE).rename(folder / "last_release.state")
rows = [[name, dict(labels), value] for (name, labels), value in counters(samples).items()]
(folder / "last_release.json").write_text("[\\n" + ",\\n".join(map(json.dumps, rows)) + "\\n]\\n")
(folder / "last_release.layout").write_text(layout_of(LAYOUT_OPTIONS, 4, 7) + "\\n")
save_state(folder / "last_release.calibration.json", FITS, MACHINE)
"""


def release_code(folder: Path, *more: str) -> Path:
    """The release's packages, and what more is asked for, in a folder. Skips where nobody has its commit."""
    repository = repository_with(RELEASE, ROOT, folder / "release.git")
    if repository is None:
        pytest.skip(f"the last release, {RELEASE[:7]}, is neither in this clone nor where it came from")
    build = folder / "release"
    build.mkdir()
    archive = git(repository, "archive", RELEASE, *_PARTS, *more)
    archive.check_returncode()
    subprocess.run(["tar", "-x", "-C", build], input=archive.stdout, check=True)
    return build


def repository_with(commit: str, clone: Path, place: Path) -> Path | None:
    """A repository that has a commit: the clone, or where that is shallow one in `place`, of it alone.

    That one is fetched from where the clone came from; the clone stays as it is.
    """
    if git(clone, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0:
        return clone
    origin = git(clone, "remote", "get-url", "origin").stdout.decode().strip()
    place.mkdir()
    git(place, "init", "--quiet", "--bare").check_returncode()
    fetched = git(place, "fetch", "--quiet", "--depth=1", origin, commit) if origin else None
    return place if fetched and fetched.returncode == 0 else None


def git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """git in a repository; whoever would have to be asked for a password is not."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", "-C", repository, *arguments], capture_output=True, env=environment)


def release_build(folder: Path) -> Path:
    """The same with its kernel programs, compiled by its own Makefile."""
    build = release_code(folder)
    made = subprocess.run(
        [program("make"), "-o", ".venv/.set-up-for-run", *_OBJECTS], cwd=build, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return build


def run_release(build: Path, *arguments: str) -> str:
    """What our Python prints with the release's code and these arguments."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(build)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=build, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        code = release_code(Path(made), "tests")
        run_release(code, "-c", _WRITE, made)
        flags = ("--kube.node-name=n1", "--kube.kubelet-address=https://n1:10250")
        in_force = run_release(code, "-m", "exporter.commands.cli", "config", "check", *flags)
        (FILES / "last_release.yaml").write_text(in_force)
        for path in Path(made).glob("last_release.*"):
            (FILES / path.name).write_bytes(path.read_bytes())
