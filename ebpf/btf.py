"""The running kernel's type information (BTF), through libbpf."""

from __future__ import annotations

import ctypes as ct
import errno

from ebpf.libbpf import checked, failure, library


class _BtfType(ct.Structure):
    """struct btf_type of include/uapi/linux/btf.h."""

    _fields_ = [("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32)]


class _BtfMember(ct.Structure):
    """struct btf_member; struct btf_enum has name_off and val in the same places."""

    _fields_ = [("name_off", ct.c_uint32), ("type", ct.c_uint32), ("offset", ct.c_uint32)]


class KernelTypes:
    """The running kernel's type information (BTF)."""

    _STRUCTS, _ENUM = (4, 5), 6

    def __init__(self) -> None:
        self._lib = library()
        for name in ("btf__load_vmlinux_btf", "btf__type_by_id"):
            getattr(self._lib, name).restype = ct.c_void_p
        self._lib.btf__name_by_offset.restype = ct.c_char_p
        self._btf = ct.c_void_p(self._lib.btf__load_vmlinux_btf())
        if not self._btf:
            raise failure("loading the kernel's BTF")

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
                raise OSError(errno.ENOENT, f"struct {struct} has no {path} in this kernel's BTF")
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
