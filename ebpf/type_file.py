"""`--ebpf.btf FILE`: where the kernel keeps things, for kernels that do not say so themselves."""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path

from ebpf.btf import OWN_TYPES, offsets
from ebpf.errors import UsageError
from ebpf.libbpf import run_here

log = logging.getLogger("ebpf")

_MAGIC = 0xEB9F  # BTF_MAGIC, include/uapi/linux/btf.h
_ELF, _PACKED = b"\x7fELF", (b"\xfd7zXZ", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"PK\x03\x04")
_WHERE = "BTFHub has those of distributions' kernels: https://github.com/aquasecurity/btfhub-archive"
_DIFFERENCES = {1: "the running task", 2: "its cgroup", 3: "its clock"}  # own_types.h


def kernel_knows_its_types() -> bool:
    """Whether programs may follow the running kernel's pointers, and need no file."""
    return OWN_TYPES.exists()


def wrong_with(file: Path) -> str:
    """Why a file is of no use as BTF, and how to mend it; empty where it has all that programs read.

    That it is of another kernel is seen only once a program is loaded: see `check_against_kernel`.
    """
    try:
        with file.open("rb") as opened:
            begin = opened.read(6)
    except OSError as error:
        return f"{file} cannot be read ({error.strerror}); {_WHERE}"
    if begin.startswith(_PACKED):
        return f"{file} is packed: unpack it (tar -xf, xz -d)"
    is_raw = begin[:2] in (struct.pack("<H", _MAGIC), struct.pack(">H", _MAGIC))
    if not is_raw and not begin.startswith(_ELF):
        return f"{file} is no BTF, neither raw nor in an ELF file; {_WHERE}"
    try:
        offsets(file)
    except OSError as error:
        return f"{file} does not describe a kernel ({error.strerror or error}); {_WHERE}"
    return ""


def usable(file: Path | None, *, by_copy: bool = False) -> Path | None:
    """The file, if it is given and this kernel needs it, or by_copy wants it.

    Raises UsageError where the file is of no use.
    """
    if file is None:
        return None
    if kernel_knows_its_types() and not by_copy:
        log.info("--ebpf.btf %s is not needed: this kernel knows its own types (%s)", file, OWN_TYPES)
        return None
    if wrong := wrong_with(file):
        raise UsageError(f"--ebpf.btf: {wrong}")
    return file


def check_against_kernel(check_types: int, file: Path) -> None:
    """Run the program that compares a file's types with what the kernel says of the running task.

    check_types: its descriptor. Raises UsageError where they differ, OSError where it cannot be run.
    """
    different = run_here(check_types)
    if different:
        raise UsageError(
            f"--ebpf.btf: {file} is of another kernel than {os.uname().release}: {_DIFFERENCES[different]} is"
            f" not where it says; {_WHERE}"
        )
