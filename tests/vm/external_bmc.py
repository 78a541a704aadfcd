"""A management controller behind a machine of ./kit, over QEMU's protocol for one outside (ipmi-bmc-extern).

It answers what Linux's ipmi_si asks while it binds, and DCMI Get Power Reading with a power that it makes up.
By commands of its own it tells what was drawn at each reading, and stands still for a while.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

# Source: QEMU, hw/ipmi/ipmi_bmc_extern.c.
_MESSAGE, _COMMAND, _ESCAPE = 0xA0, 0xA1, 0xAA
_VERSION, _CAPABILITIES = b"\xff\x01", b"\x08\x00"  # 1; it can neither switch power nor raise anything
OWN_NETFN, TRUTHS, STAND_STILL = 0x30, 0x01, 0x02
_KEPT = 16
_INVALID_COMMAND = b"\xc1"


def sawtooth_watts(seconds: float) -> float:
    """Up from 200 W to 400 W in 30 s, and down again."""
    phase = seconds % 60.0
    return 200.0 + 200.0 * (phase if phase < 30.0 else 60.0 - phase) / 30.0


def sawtooth_joules(seconds: float) -> float:
    """What that is since 0, exactly."""
    whole, phase = divmod(seconds, 60.0)
    up = min(phase, 30.0)
    down = max(0.0, phase - 30.0)
    return (
        whole * 18_000.0 + 200.0 * phase + up * up * 100.0 / 30.0 + 200.0 * down - down * down * 100.0 / 30.0
    )


class ExternalBmc:
    """Listens on a socket until it is closed; for one machine after another."""

    def __init__(self, path: Path) -> None:
        self._truths: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._readings = self._enables = 0
        self._still_until = 0.0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        for setting in (_VERSION, _CAPABILITIES):
            connection.sendall(_escaped(setting) + bytes([_COMMAND]))
        for frame in _frames(lambda: connection.recv(4096)):
            sequence, netfn, command, data = frame[0], frame[1] >> 2, frame[2], frame[3:-1]
            time.sleep(max(0.0, self._still_until - time.monotonic()))
            body = bytes([sequence, frame[1] + 4, command]) + self._answer(netfn, command, data)
            connection.sendall(_escaped(body + bytes([-sum(body) & 0xFF])) + bytes([_MESSAGE]))

    def _answer(self, netfn: int, command: int, data: bytes) -> bytes:
        if netfn == 0x2C and data[:2] == b"\xdc\x01" and command == 0x02:
            return self._power()
        if (netfn, command) == (OWN_NETFN, TRUTHS):
            return b"\0" + b"".join(struct.pack("<IQ", *truth) for truth in self._truths)
        if (netfn, command) == (OWN_NETFN, STAND_STILL):
            self._still_until = time.monotonic() + data[0]
            return b"\0"
        return self._set_up(netfn, command, data)

    def _power(self) -> bytes:
        now = time.time()
        watts = round(sawtooth_watts(now))
        self._readings += 1
        self._truths.append((self._readings, round(sawtooth_joules(now) * 1e3) & 2**64 - 1))
        return struct.pack("<BBHHHHIIB", 0, 0xDC, watts, 200, 400, 300, int(now) & 2**32 - 1, 1000, 0x40)

    def _set_up(self, netfn: int, command: int, data: bytes) -> bytes:
        """What the driver asks: the device's id, events, flags, a GUID, its channels."""
        if netfn != 0x06:
            return _INVALID_COMMAND
        if command == 0x2E:
            self._enables = data[0]
        return {
            0x01: bytes([0, 0x20, 0x81, 1, 0, 2, 0x8F, 0xFF, 0xFF, 0, 1, 0, 0, 0, 0, 0]),
            0x2E: b"\0",
            0x2F: bytes([0, self._enables]),
            0x30: b"\0",
            0x31: b"\0\0",
            0x37: b"\0" + bytes(range(16)),
            0x42: bytes([0, data[0] & 15 if data else 0, 0x0C, 5, 0x81, 0xF2, 0x1B, 0, 0, 0]),
        }.get(command, _INVALID_COMMAND)


def _escaped(content: bytes) -> bytes:
    return b"".join(
        bytes([_ESCAPE, byte | 0x10]) if byte in (_MESSAGE, _COMMAND, _ESCAPE) else bytes([byte])
        for byte in content
    )


def _frames(receive: Callable[[], bytes]) -> Iterator[bytes]:
    """Messages, without what ends them; settings of the other side are passed over."""
    buffer, is_escaped = bytearray(), False
    while chunk := receive():
        for byte in chunk:
            if byte in (_MESSAGE, _COMMAND):
                if byte == _MESSAGE and len(buffer) >= 4:
                    yield bytes(buffer)
                buffer.clear()
                is_escaped = False
            elif byte == _ESCAPE:
                is_escaped = True
            else:
                buffer.append(byte & ~0x10 if is_escaped else byte)
                is_escaped = False
