"""An arm64 program whose number of instructions is known: a loop of two, written as a whole ELF file.

Written by hand so that no cross compiler is wanted. Sources: elf(5); Arm Architecture Reference Manual,
C6.2 (MOVZ, SUBS, B.cond, SVC); include/uapi/asm-generic/unistd.h for exit.
"""

from __future__ import annotations

import struct

_BASE, _HEADERS = 0x400000, 64 + 56
_MACHINE_AARCH64 = 183
_ROUNDS_STEP = 1 << 16
_AROUND_THE_LOOP = 4


def _code(rounds_high: int) -> bytes:
    words = (
        0xD2A00000 | rounds_high << 5,  # movz x0, rounds_high, lsl 16
        0xF1000400,  # again: subs x0, x0, 1
        0x54FFFFE1,  # b.ne again
        0xD2800000,  # mov x0, 0
        0xD2800BA8,  # mov x8, 93 (exit)
        0xD4000001,  # svc 0
    )
    return struct.pack(f"<{len(words)}I", *words)


def known_program(at_least: int) -> tuple[bytes, int]:
    """The file, and how many instructions it takes: `at_least`, rounded up to the loop's grain."""
    rounds_high = -(-at_least // (2 * _ROUNDS_STEP))
    code = _code(rounds_high)
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian, version 1
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, _MACHINE_AARCH64, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return header + segment + code, 2 * rounds_high * _ROUNDS_STEP + _AROUND_THE_LOOP
