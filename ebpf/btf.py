"""Type information (BTF), the running kernel's or a file's, through libbpf; and which of it programs need."""

from __future__ import annotations

import contextlib
import ctypes as ct
import errno
import os
from pathlib import Path

from ebpf.libbpf import checked, failure, library

OWN_TYPES = Path("/sys/kernel/btf/vmlinux")
"""Where a kernel that knows its own types shows them; libbpf looks there, too, whatever --host.sysfs says."""

# The macros of sched_switch.bcc.c; sched_switch.bpf.c reads the same members.
STRUCT_MEMBERS = {
    "TASK_PID": ("task_struct", "pid"),
    "TASK_TGID": ("task_struct", "tgid"),
    "TASK_RUNTIME": ("task_struct", "se.sum_exec_runtime"),
    "TASK_SLICE_START": ("task_struct", "se.prev_sum_exec_runtime"),
    "TASK_PRIO": ("task_struct", "prio"),
    "TASK_FLAGS": ("task_struct", "flags"),
    "TASK_CSS_SET": ("task_struct", "cgroups"),
    "CSS_SET_CGROUP": ("css_set", "dfl_cgrp"),
    "CSS_CGROUP": ("cgroup_subsys_state", "cgroup"),
    "CGROUP_KN": ("cgroup", "kn"),
    "CGROUP_ROOT": ("cgroup", "root"),
    "ROOT_HIERARCHY": ("cgroup_root", "hierarchy_id"),
    "KN_ID": ("kernfs_node", "id"),
}
# What not every kernel has: the way from a task to its CPU's clock, where task groups are compiled in.
OPTIONAL_MEMBERS = {
    "TASK_CFS_RQ": ("task_struct", "se.cfs_rq"),
    "CFS_RQ_RQ": ("cfs_rq", "rq"),
    "RQ_CLOCK": ("rq", "clock"),
}


def offsets(file: Path | None = None) -> dict[str, int]:
    """Where the kernel keeps what programs read: bytes by macro, from its own BTF or a file's.

    Raises OSError where there is none, or where a member is missing.
    """
    with contextlib.closing(KernelTypes(file)) as types:
        found = {macro: types.offset(*member) for macro, member in STRUCT_MEMBERS.items()}
        subsystems = types.offset("css_set", "subsys")
        for macro, controller in (("CSS_SET_CPU", "cpu"), ("CSS_SET_CPUACCT", "cpuacct")):
            index = types.enumerator("cgroup_subsys_id", f"{controller}_cgrp_id") or 0
            found[macro] = subsystems + 8 * index
        with contextlib.suppress(OSError):
            found |= {macro: types.offset(*member) for macro, member in OPTIONAL_MEMBERS.items()}
    return found


class _BtfType(ct.Structure):
    """struct btf_type of include/uapi/linux/btf.h."""

    _fields_ = [("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32)]


class _BtfMember(ct.Structure):
    """struct btf_member; struct btf_enum has name_off and val in the same places."""

    _fields_ = [("name_off", ct.c_uint32), ("type", ct.c_uint32), ("offset", ct.c_uint32)]


class KernelTypes:
    """The type information (BTF) of the running kernel, or in a file: raw, or an ELF file's."""

    _STRUCTS, _ENUM = (4, 5), 6

    def __init__(self, file: Path | None = None) -> None:
        self._lib = library()
        for name in ("btf__load_vmlinux_btf", "btf__parse", "btf__type_by_id"):
            getattr(self._lib, name).restype = ct.c_void_p
        self._lib.btf__name_by_offset.restype = ct.c_char_p
        self._btf = ct.c_void_p(
            self._lib.btf__parse(os.fsencode(file), None) if file else self._lib.btf__load_vmlinux_btf()
        )
        if not self._btf:
            raise failure(f"loading BTF from {file or 'the kernel'}")

    def close(self) -> None:
        """Free the type information."""
        self._lib.btf__free(self._btf)

    def _id(self, name: str, kind: int) -> int:
        return checked(self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind), f"BTF of {name}")

    def _type(self, type_id: int) -> tuple[int, int, int]:
        """A type's address, kind and number of members, modifiers and typedefs looked through."""
        address = self._lib.btf__type_by_id(self._btf, self._lib.btf__resolve_type(self._btf, type_id))
        info = _BtfType.from_address(address).info
        return address, info >> 24 & 31, info & 0xFFFF

    def _name(self, name_off: int) -> bytes:
        return bytes(self._lib.btf__name_by_offset(self._btf, name_off))

    def _find(self, type_id: int, member: bytes) -> tuple[int, int] | None:
        """Byte offset and type of a member, anonymous structs and unions searched too."""
        address, kind, count = self._type(type_id)
        if kind not in self._STRUCTS:
            return None
        for found in (_BtfMember * count).from_address(address + ct.sizeof(_BtfType)):
            offset, name = (found.offset & 0xFFFFFF) // 8, self._name(found.name_off)
            inner = self._find(found.type, member) if not name else None
            if name == member:
                return offset, found.type
            if inner:
                return offset + inner[0], inner[1]
        return None

    def offset(self, struct: str, path: str) -> int:
        """Bytes from a struct's start to a member; path such as "se.sum_exec_runtime". Raises OSError."""
        type_id, total = self._id(struct, self._STRUCTS[0]), 0
        for member in path.split("."):
            found = self._find(type_id, member.encode())
            if not found:
                raise OSError(errno.ENOENT, f"struct {struct} has no {path} in this BTF")
            total, type_id = total + found[0], found[1]
        return total

    def enumerator(self, enum: str, name: str) -> int | None:
        """The value of an enum's name, None where this kernel has none."""
        address, _, count = self._type(self._id(enum, self._ENUM))

        class Item(ct.Structure):
            _fields_ = [("name_off", ct.c_uint32), ("value", ct.c_int32)]

        for item in (Item * count).from_address(address + ct.sizeof(_BtfType)):
            if self._name(item.name_off) == name.encode():
                return int(item.value)
        return None
