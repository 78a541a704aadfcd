"""DCMI's Get Power Reading: its bytes, and what they say. Source: DCMI 1.5, section 6.6.1."""

from __future__ import annotations

import struct
from dataclasses import dataclass

NETFN, POWER_READING = 0x2C, 0x02
REQUEST = b"\xdc\x01\x00\x00"  # DCMI's group, system power statistics

_LAYOUT = struct.Struct("<BBHHHHIIB")
_ACTIVE = 0x40
_SAID = {
    0xC0: "it is busy",
    0xC1: "it knows no DCMI power readings",
    0xC3: "its sensor has not answered",
    0xC9: "it knows no system power statistics",
    0xCC: "it knows no system power statistics",
    0xD2: "it does not answer",
    0xD4: "this interface may not ask",
    0xFF: "it failed",
}
# Those after which asking again is of no use until its firmware is another.
_NEVER = (0xC1, 0xC9, 0xCC, 0xD4)


class NoDcmi(ValueError):
    """This BMC tells no power this way."""


@dataclass(frozen=True, slots=True)
class PowerReading:
    """Watts now. stamp: when it was measured by the BMC's clock, 0 where it does not say."""

    watts: int
    stamp: int


def parse(response: bytes) -> PowerReading:
    """Raises ValueError with what the BMC said, NoDcmi where it cannot."""
    code = response[0] if response else 0xFF
    if code:
        said = _SAID.get(code, "it refused")
        raise (NoDcmi if code in _NEVER else ValueError)(f"{said} (completion code {code:#04x})")
    if len(response) < _LAYOUT.size or response[1] != 0xDC:
        raise ValueError(f"wanted {_LAYOUT.size} bytes of DCMI, found {response[:24].hex()}")
    _, _, watts, _, _, _, stamp, _, state = _LAYOUT.unpack(response[: _LAYOUT.size])
    if not state & _ACTIVE:
        raise ValueError("it does not measure power now; its set-up may say so (DCMI power measurement)")
    if watts == 0:
        raise ValueError("it says 0 W, which a machine that runs cannot draw")
    return PowerReading(watts, stamp)
