"""Protocol buffers as a server writes them."""

from __future__ import annotations


def field(at: int, value: bytes) -> bytes:
    return varint(at << 3 | 2) + varint(len(value)) + value


def number(at: int, value: int) -> bytes:
    return varint(at << 3) + varint(value)


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes((*parts, value))
