"""Protocol buffers by hand, as far as the kubelet's list of devices needs them.

https://protobuf.dev/programming-guides/encoding/; unknown fields are passed over: newer kubelets send more.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an int for a varint, else its bytes.

    Raises ValueError for what is no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind, number = key & 7, key >> 3
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of wire type {kind}, at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes is cut short, at byte {at}")
        yield number, data[at : at + size]
        at += size


def messages(data: bytes, number: int) -> list[bytes]:
    """Every value of a repeated message or string. Raises ValueError."""
    return [value for found, value in fields(data) if found == number and isinstance(value, bytes)]


def text(data: bytes, number: int) -> str:
    """A string field, "" where it is not there; the last one counts. Raises ValueError, also for no UTF-8."""
    return b"".join(messages(data, number)[-1:]).decode()


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, at + i + 1
    raise ValueError(f"a number without an end, at byte {at}")
