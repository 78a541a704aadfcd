"""What an image leaves out of its dependencies goes with its bytecode, and nothing else goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import releases


def installed(site: Path, name: str, *files: str) -> None:
    """A distribution as pip leaves it, compiled."""
    record = site / f"{name}-1.0.dist-info/RECORD"
    record.parent.mkdir(parents=True)
    record.write_text("".join(f"{file},sha256=x,1\n" for file in (*files, str(record.relative_to(site)))))
    for file in files:
        path = site / file
        (path.parent / "__pycache__").mkdir(parents=True, exist_ok=True)
        path.touch()
        (path.parent / f"__pycache__/{path.stem}.cpython-311.pyc").touch()


def test_what_serves_nobody_goes_whole_and_the_rest_stays(tmp_path: Path) -> None:
    installed(tmp_path, "aiohttp", "aiohttp/__init__.py", "aiohttp/client.py")
    installed(tmp_path, "kubernetes", "kubernetes/client.py", "kubernetes/aio/client.py")
    installed(tmp_path, "numpy", "numpy/core.py", "numpy/core.pyi", "numpy/tests/test_core.py")
    command = [sys.executable, releases.ROOT / "deploy/left_out.py", tmp_path]
    subprocess.run(command, check=True)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.suffix != ".pyc"} == {
        *("kubernetes", "kubernetes/__pycache__", "kubernetes/client.py"),
        *("kubernetes-1.0.dist-info", "kubernetes-1.0.dist-info/RECORD"),
        *("numpy", "numpy/__pycache__", "numpy/core.py", "numpy-1.0.dist-info", "numpy-1.0.dist-info/RECORD"),
    }
