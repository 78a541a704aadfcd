"""Programs whose instructions are known, written as whole ELF files.

Written by hand so that no compiler for the other CPU is wanted. Sources: elf(5); Arm Architecture Reference
Manual, C6.2 (MOVZ, SUBS, B.cond, SVC); Intel SDM volume 2; the kernel's system call tables for exit.
"""

from __future__ import annotations

import struct

_BASE, _HEADERS = 0x400000, 64 + 56
_X86_64, _AARCH64 = 62, 183
_ROUNDS_STEP = 1 << 16
_AROUND_THE_LOOP = 4
_ARM64_EXIT = (
    0xD2800000,  # mov x0, 0
    0xD2800BA8,  # mov x8, 93 (exit)
    0xD4000001,  # svc 0
)
_X86_EXIT = bytes.fromhex("b83c000000 31ff 0f05")  # mov eax, 60 (exit); xor edi, edi; syscall


def known_program(at_least: int) -> tuple[bytes, int]:
    """For arm64: the file, and how many instructions it takes: `at_least`, rounded up to its loop's grain."""
    rounds_high = -(-at_least // (2 * _ROUNDS_STEP))
    loop = (
        0xD2A00000 | rounds_high << 5,  # movz x0, rounds_high, lsl 16
        0xF1000400,  # again: subs x0, x0, 1
        0x54FFFFE1,  # b.ne again
    )
    program = _elf(_AARCH64, _words(*loop, *_ARM64_EXIT))
    return program, 2 * rounds_high * _ROUNDS_STEP + _AROUND_THE_LOOP


def short_program(machine: str) -> bytes:
    """A program that ends at once; nothing is linked, so that starting it costs an emulated CPU little."""
    return _elf(_AARCH64, _words(*_ARM64_EXIT)) if machine == "arm64" else _elf(_X86_64, _X86_EXIT)


def _words(*instructions: int) -> bytes:
    return struct.pack(f"<{len(instructions)}I", *instructions)


def _elf(machine: int, code: bytes) -> bytes:
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian, version 1
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000) + code
