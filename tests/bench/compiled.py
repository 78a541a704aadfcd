"""C programs that a benchmark or a test brings, compiled when it runs."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import programs

_HERE = Path(__file__).parent
_TARGET = {"x86_64": "x86", "aarch64": "arm64"}


def bpf_object(source: Path) -> bytes:
    """A .bpf.c as ebpf's own program is compiled."""
    machine = platform.machine()
    flags = ["-O2", "-g", "-target", "bpf", f"-D__TARGET_ARCH_{_TARGET.get(machine, machine)}"]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.bpf.o"
        _clang(*flags, f"-I/usr/include/{machine}-linux-gnu", "-c", str(source), "-o", str(made))
        return made.read_bytes()


@contextmanager
def program(name: str) -> Iterator[str]:
    """The path of tests/bench/<name>.c compiled, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        made = f"{folder}/{name}"
        _clang("-O2", "-Wall", "-Werror", str(_HERE / f"{name}.c"), "-o", made)
        yield made


def _clang(*arguments: str) -> None:
    subprocess.run([programs.program("clang"), *arguments], check=True)
