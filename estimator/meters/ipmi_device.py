"""The kernel's IPMI device: one command to the board's management controller, one response."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import time
from pathlib import Path

# Source: Linux, include/uapi/linux/ipmi.h and ipmi_msgdefs.h.
_SYSTEM_INTERFACE, _BMC_CHANNEL, _RESPONSE = 0x0C, 0x0F, 1
_MOST_BYTES, _ADDRESS_BYTES = 272, 64


class _Address(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("channel", ctypes.c_short), ("lun", ctypes.c_ubyte))


class _Message(ctypes.Structure):
    _fields_ = (
        ("netfn", ctypes.c_ubyte),
        ("command", ctypes.c_ubyte),
        ("length", ctypes.c_ushort),
        ("data", ctypes.c_void_p),
    )


class _Request(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_void_p),
        ("address_length", ctypes.c_uint),
        ("id", ctypes.c_long),
        ("message", _Message),
    )


class _Received(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("address", ctypes.c_void_p),
        ("address_length", ctypes.c_uint),
        ("id", ctypes.c_long),
        ("message", _Message),
    )


def _ioctl_number(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("i") << 8 | number


_SEND = _ioctl_number(2, 13, ctypes.sizeof(_Request))
_RECEIVE_TRUNCATED = _ioctl_number(3, 11, ctypes.sizeof(_Received))


class IpmiDevice:
    """An open /dev/ipmi*. Making one and asking raise OSError. timeout_seconds: for a response."""

    def __init__(self, path: Path = Path("/dev/ipmi0"), timeout_seconds: float = 5.0) -> None:
        self.path = path
        self._timeout_seconds = timeout_seconds
        self._id = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def ask(self, netfn: int, command: int, data: bytes) -> bytes:
        """The response, the completion code first. Raises TimeoutError where none comes."""
        self._send(netfn, command, data)
        end = time.monotonic() + self._timeout_seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._descriptor], [], [], left)[0]:
                kind, number, response = self._receive()
                if (kind, number) == (_RESPONSE, self._id):  # others are late ones, or events
                    return response
        raise TimeoutError(f"the BMC has not answered for {self._timeout_seconds:g} s")

    def close(self) -> None:
        """Let go of the device."""
        os.close(self._descriptor)

    def _send(self, netfn: int, command: int, data: bytes) -> None:
        self._id += 1
        address = _Address(_SYSTEM_INTERFACE, _BMC_CHANNEL, 0)
        body = ctypes.create_string_buffer(data, max(1, len(data)))
        message = _Message(netfn, command, len(data), ctypes.addressof(body))
        request = _Request(ctypes.addressof(address), ctypes.sizeof(address), self._id, message)
        fcntl.ioctl(self._descriptor, _SEND, request)

    def _receive(self) -> tuple[int, int, bytes]:
        address = (ctypes.c_ubyte * _ADDRESS_BYTES)()
        body = (ctypes.c_ubyte * _MOST_BYTES)()
        message = _Message(0, 0, _MOST_BYTES, ctypes.addressof(body))
        received = _Received(0, ctypes.addressof(address), _ADDRESS_BYTES, 0, message)
        fcntl.ioctl(self._descriptor, _RECEIVE_TRUNCATED, received)
        return received.type, received.id, bytes(body[: received.message.length])
