"""Running a command with exactly these capabilities, as root or as a user that has nothing of root's."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tests.e2e.servers import ROOT

NOBODY = 65534


def confined(capabilities: Collection[str], uid: int = 0) -> list[str]:
    """What goes before a command: no more than these, effective at once, and no way to others.

    uid 0 gets what its bounding set allows, as in a container; another gets them as ambient ones, as from
    systemd's AmbientCapabilities=.
    """
    names = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities)])
    prefix = ["setpriv", "--no-new-privs", f"--bounding-set={names}"]
    if uid == 0:
        return [*prefix, "--inh-caps=-all"]
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [*prefix, *user, f"--inh-caps={names}", f"--ambient-caps={names}"]


def run_confined(
    arguments: Sequence[str], capabilities: Collection[str], uid: int = 0, *, own_pids: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run our Python with these arguments; a user can reach it and us wherever they are.

    own_pids: in a PID namespace of its own, where the machine's /proc is not.
    """
    command = shlex.join([*confined(capabilities, uid), sys.executable, *arguments])
    with tempfile.TemporaryDirectory(prefix="podjoule-rights-") as staging:
        steps = _reachable([Path(sys.base_prefix), ROOT], Path(staging)) if uid else []
        steps += ["mount -t proc none /proc"] if own_pids else []
        script = " && ".join([*steps, f"cd {shlex.quote(str(ROOT))}", f"exec {command}"])
        return subprocess.run(
            ["unshare", "--mount", *(["--pid", "--fork"] if own_pids else []), "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)},
        )


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user can look into, other than pytest's."""
    with tempfile.TemporaryDirectory(prefix="podjoule-open-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


def _reachable(paths: Sequence[Path], staging: Path) -> list[str]:
    """Shell steps that show paths behind a closed directory (/root) in a mount namespace where it is open."""
    closed = {path: _closed_above(path) for path in paths}
    hidden = [path for path in paths if closed[path]]
    for i in range(len(hidden)):
        (staging / str(i)).mkdir()
    steps = [f"mount --bind {path} {staging}/{i}" for i, path in enumerate(hidden)]
    steps += [f"mount -t tmpfs -o mode=755 none {cover}" for cover in {closed[path] for path in hidden}]
    for i, path in enumerate(hidden):
        steps += [f"mkdir -p {path}", f"mount --bind {staging}/{i} {path}"]
    return steps


def _closed_above(path: Path) -> Path | None:
    above = (each for each in reversed(path.resolve().parents))
    return next((each for each in above if not each.stat().st_mode & stat.S_IXOTH), None)
