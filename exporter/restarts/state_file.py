"""The file in which counts outlive the process: JSON and arrays under one checksum, replaced in one step.

Layout: MAGIC, sha256 of the rest (32 bytes), length of the JSON (uint32, little-endian), the JSON, then the
arrays one after the other. The JSON holds "arrays": [[name, dtype, shape], ...] and "document". Nothing in it
is trusted before the checksum has been found right, and reading it runs no code.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from estimator.model.whole_file import OF_ANOTHER, write_whole
from exporter.errors import StateInvalid

MAGIC = b"podjoule.state/1\n"
_ANY_MAGIC, _LONGEST_MAGIC = b"podjoule.state/", 32
MAX_BYTES = 256 * 1024 * 1024
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = hashlib.sha256().digest_size
_DTYPES = ("<f8", "<u8", "<u4", "<i8", "|u1")

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredState:
    """What is kept. document: what JSON can hold; arrays: by name, of _DTYPES."""

    document: Mapping[str, Any]
    arrays: Mapping[str, Array]


def write_state(path: Path, state: StoredState) -> None:
    """Put it in the file's place in one step, readable by its owner alone. Raises OSError.

    It is not forced onto the disk: what a power failure would save is of no use after the reboot.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.writelines(_sealed(state)), mode=0o600, lasting=False)


def read_state(path: Path) -> StoredState | None:
    """What the file holds; None where there is none. Raises StateInvalid."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise StateInvalid(f"{path} has more than {MAX_BYTES} bytes: no state of ours")
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateInvalid(f"{path} cannot be read: {error.strerror}") from error
    return _unsealed(path, content)


def of_another(path: Path, how: str) -> StateInvalid:
    """The error for a whole file of another version, which is not lost: it can go on from it."""
    return StateInvalid(f"{path} {how}: {OF_ANOTHER}")


def _sealed(state: StoredState) -> list[bytes]:
    arrays = {name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    described = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = json.dumps({"arrays": described, "document": state.document}, separators=(",", ":")).encode()
    parts = [_LENGTH.pack(len(header)), header, *(array.tobytes() for array in arrays.values())]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return [MAGIC, digest.digest(), *parts]


def _unsealed(path: Path, content: bytes) -> StoredState:
    if content.startswith(_ANY_MAGIC) and not content.startswith(MAGIC):
        found = content[:_LONGEST_MAGIC].split(b"\n")[0].decode("ascii", "replace")
        raise of_another(path, f"is {found}, this podjoule reads {MAGIC.decode().strip()}")
    if not content.startswith(MAGIC):
        raise StateInvalid(f"{path} is no {MAGIC.decode().strip()}: it begins with {content[:17]!r}")
    body = memoryview(content)[len(MAGIC) :]
    digest, rest = body[:_DIGEST_BYTES], body[_DIGEST_BYTES:]
    if hashlib.sha256(rest).digest() != digest:
        raise StateInvalid(f"{path} is damaged: its checksum does not fit its {len(content)} bytes")
    try:
        return _parsed(rest)
    except (ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
        raise StateInvalid(f"{path} was not written by podjoule: {error}") from error


def _parsed(rest: memoryview) -> StoredState:
    (length,) = _LENGTH.unpack(rest[: _LENGTH.size])
    header = json.loads(bytes(rest[_LENGTH.size : _LENGTH.size + length]))
    arrays, position = {}, _LENGTH.size + length
    for name, dtype, shape in header["arrays"]:
        if dtype not in _DTYPES:
            raise ValueError(f"array {name} is of {dtype}, want one of {', '.join(_DTYPES)}")
        n_bytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize if shape else 8
        found = rest[position : position + n_bytes]
        if n_bytes < 0 or len(found) != n_bytes:
            raise ValueError(f"array {name} wants {n_bytes} bytes, {len(found)} are left")
        arrays[name] = np.frombuffer(found, dtype).reshape(shape).copy()
        position += n_bytes
    return StoredState(header["document"], arrays)
