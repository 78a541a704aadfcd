"""The kernel side's C, compiled for this machine: structs and arithmetic alone need no kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

EBPF = Path(__file__).parents[2] / "ebpf"
PRELUDE = "#include <stddef.h>\n#include <stdio.h>\n#include <string.h>\n#include <linux/types.h>\n"


def build(source: str, into: Path, *flags: str) -> Path:
    """Compile C against ebpf/'s headers; skips where there is no compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "clang", "gcc"))), None)
    if compiler is None:
        pytest.skip("needs a C compiler: none of cc, clang, gcc is installed")
    (into / "program.c").write_text(PRELUDE + source)
    command = [compiler, "-std=gnu11", "-O1", "-Wall", "-Werror", f"-I{EBPF}", *flags]
    done = subprocess.run(
        [*command, str(into / "program.c"), "-o", str(into / "program")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return into / "program"


def run(program: Path) -> bytes:
    return subprocess.run([program], check=True, capture_output=True).stdout
