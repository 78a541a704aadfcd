"""What serves two architectures from one file, checked with the tools of this machine alone."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.vm.known_program import known_program

ROOT = Path(__file__).resolve().parents[2]
LOOP = ["mov x0, #65536", "subs x0, x0, #1", "b.ne #-4", "mov x0, #0", "mov x8, #93", "svc #0"]


def test_the_known_program_is_the_loop_it_claims_to_be(require_command: Callable[[str], str]) -> None:
    image, instructions = known_program(1)
    code = image[64 + 56 :]
    shown = subprocess.run(
        [require_command("llvm-mc"), "--disassemble", "--triple=aarch64"],
        input=" ".join(f"0x{byte:02x}" for byte in code),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [" ".join(line.split()) for line in shown.splitlines() if not line.startswith("\t.")] == LOOP
    assert instructions == 1 + 2 * 65536 + 3


def test_one_object_serves_both_architectures(tmp_path: Path, require_command: Callable[[str], str]) -> None:
    clang, images = require_command("clang"), []
    for architecture in ("x86", "arm64"):
        target = tmp_path / f"{architecture}.o"
        includes = [f"-I/usr/include/{platform.machine()}-linux-gnu", f"-I{ROOT}/ebpf/kernel"]
        flags = ["-O2", "-g", "-target", "bpf", f"-D__TARGET_ARCH_{architecture}", *includes]
        subprocess.run(
            [clang, *flags, "-c", ROOT / "ebpf/kernel/sched_switch.bpf.c", "-o", target], check=True
        )
        images.append(target.read_bytes())
    assert images[0] == images[1]
