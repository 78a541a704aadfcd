"""The kernel side's C, compiled for this machine: structs and arithmetic alone need no kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.programs import program

EBPF = Path(__file__).parents[2] / "ebpf/kernel"
PRELUDE = "#include <stddef.h>\n#include <stdio.h>\n#include <string.h>\n#include <linux/types.h>\n"


def build(source: str, into: Path, *flags: str) -> Path:
    """Compile C against ebpf/'s headers."""
    (into / "program.c").write_text(PRELUDE + source)
    command = [program("gcc"), "-std=gnu11", "-O1", "-Wall", "-Werror", f"-I{EBPF}", *flags]
    done = subprocess.run(
        [*command, str(into / "program.c"), "-o", str(into / "program")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return into / "program"


def run(built: Path) -> bytes:
    return subprocess.run([built], check=True, capture_output=True).stdout
