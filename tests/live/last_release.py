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
from estimator.calibration.state import save_state
from tests.estimator.calibration.test_state import FITS, MACHINE
from tests.exporter.restarts.test_continuity import FILE, OPTIONS, Life, begun, counters
folder = Path(sys.argv[1])
life = Life(folder, **OPTIONS)
node, samples = begun(life)
life.end(node)
(life.state / FILE).rename(folder / "last_release.state")
rows = [[name, dict(labels), value] for (name, labels), value in counters(samples).items()]
(folder / "last_release.json").write_text("[\\n" + ",\\n".join(map(json.dumps, rows)) + "\\n]\\n")
save_state(folder / "last_release.calibration.json", FITS, MACHINE)
"""


def release_code(folder: Path, *more: str) -> Path:
    """The release's packages, and what more is asked for, in a folder. Skips where history does not reach."""
    known = subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", f"{RELEASE}^{{commit}}"], capture_output=True
    )
    if known.returncode:
        pytest.skip(f"the last release, {RELEASE[:7]}, is not in this clone: git fetch --unshallow")
    build = folder / "release"
    build.mkdir()
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", RELEASE, *_PARTS, *more], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", build], input=archive.stdout, check=True)
    return build


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
