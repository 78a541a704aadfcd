"""The state file: what was written comes back; whatever else lies there is refused at once and named."""

from __future__ import annotations

import hashlib
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estimator.model.whole_file import set_aside
from exporter.errors import StateInvalid
from exporter.restarts.state_file import MAGIC, StoredState, read_state, write_state

STATE = StoredState(
    {"boot_id": "b", "rows": [["container", "x" * 64, "näme"]]},
    {"values": np.arange(12.0).reshape(3, 4), "cgroup_id": np.array([1, 2**63], np.uint64)},
)


def written(folder: Path) -> Path:
    path = folder / "ledger.state"
    write_state(path, STATE)
    return path


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    found = read_state(written(tmp_path / "new"))
    assert found is not None
    assert found.document == STATE.document
    for name, array in STATE.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert read_state(tmp_path / "nothing") is None


def test_nobody_else_can_read_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_array_comes_back_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.state"
    write_state(path, StoredState({}, {"none": np.zeros((0, 7))}))
    found = read_state(path)
    assert found is not None
    assert found.arrays["none"].shape == (0, 7)


def refusal(path: Path) -> str:
    began = time.thread_time()  # what else the machine does meanwhile is none of the file's
    with pytest.raises(StateInvalid) as refused:
        read_state(path)
    assert time.thread_time() - began < 0.1
    assert str(path) in str(refused.value)
    return str(refused.value)


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_flipped_bit_is_found(tmp_path: Path, position: int, bit: int) -> None:
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    refusal(path)


@given(st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_any_truncation_is_found(tmp_path: Path, length: int) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: length % len(content)])
    refusal(path)


def sealed(rest: bytes) -> bytes:
    return MAGIC + hashlib.sha256(rest).digest() + rest


@pytest.mark.parametrize(
    "header",
    [
        b'{"arrays": [["values", "<f8", [1000000000000, 1000000]]], "document": {}}',
        b'{"arrays": [["values", "<f8", [-1]]], "document": {}}',
        b'{"arrays": [["values", "|O", [1]]], "document": {}}',
        b'{"arrays": [["values"]], "document": {}}',
        b'{"arrays": 7, "document": {}}',
        b'{"document": {}}',
        b"[" * 100_000,
        b"no json",
    ],
)
def test_a_right_checksum_over_nonsense_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "ledger.state"
    path.write_bytes(sealed(struct.pack("<I", len(header)) + header))
    assert "not written by podjoule" in refusal(path)


def test_a_huge_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.state"
    path.write_bytes(sealed(struct.pack("<I", 2**32 - 1) + b"{}"))
    refusal(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.state"
    with path.open("wb") as file:
        file.truncate(2**34)
    assert "bytes" in refusal(path)


def test_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.state"
    path.write_bytes(b"podjoule.state/9\n" + b"x" * 100)
    assert "podjoule.state/9" in refusal(path)


def test_what_is_refused_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "ledger.state"
    path.write_bytes(b"foreign")
    aside = set_aside(path)
    assert aside.read_bytes() == b"foreign"
    assert read_state(path) is None
