"""What the doctor tries on the real kernel rather than infers."""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import os
import platform
import struct
from pathlib import Path

# Source: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
# Source: union bpf_attr in include/uapi/linux/bpf.h, up to prog_flags.
_PROGRAM_ATTRIBUTES = struct.Struct("=IIQQIIQII")
_BPF_PROG_LOAD, _RAW_TRACEPOINT = 5, 17
_RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")  # r0 = 0; exit
_DISTRIBUTION_PACKAGES = Path("/usr/lib/python3/dist-packages")


def try_bpf() -> int:
    """Load the smallest tracing program and let it go: 0, or the errno of bpf().

    Loading takes CAP_BPF and CAP_PERFMON, or their elders, and attaches nothing. ENOSYS also where this
    machine's system call number is not known.
    """
    number = _BPF_SYSCALL.get(platform.machine())
    if number is None:
        return errno.ENOSYS
    program, license_ = ctypes.create_string_buffer(_RETURN_0), ctypes.create_string_buffer(b"GPL")
    attributes = _PROGRAM_ATTRIBUTES.pack(
        _RAW_TRACEPOINT,
        len(_RETURN_0) // 8,
        ctypes.addressof(program),
        ctypes.addressof(license_),
        *(0, 0, 0, 0, 0),
    )
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(
        ctypes.c_long(number), ctypes.c_int(_BPF_PROG_LOAD), attributes, ctypes.c_uint(len(attributes))
    )
    if fd < 0:
        return ctypes.get_errno()
    os.close(fd)
    return 0


def try_library(name: str) -> str:
    """Load a shared library: empty where that works, else what the loader says."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return ""


def find_bcc() -> Path | None:
    """The directory of the distribution's bcc; the `bcc` on PyPI, another project, has no libbcc.py."""
    spec = importlib.util.find_spec("bcc")
    found = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    places = [*found, _DISTRIBUTION_PACKAGES / "bcc"]
    return next((place for place in places if (place / "libbcc.py").exists()), None)
