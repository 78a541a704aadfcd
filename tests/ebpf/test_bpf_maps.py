"""Reading a map in one go where the kernel can, and key by key where it cannot, with the same result."""

from __future__ import annotations

import ctypes as ct
import errno
import os

import numpy as np
import pytest

from ebpf import bpf_maps
from ebpf.bpf_maps import BatchReader, KeyReader, map_reader

KEY = np.dtype([("id", "<u8"), ("tgid", "<u4"), ("pad", "<u4")])
ENOTSUPP = 524
Entries = dict[bytes, bytes]


class FakeLibrary:
    """A kernel with one map, and with or without batches."""

    def __init__(self, entries: Entries, batch_fails: int = 0, lookup_fails: int = 0) -> None:
        self.entries, self.batch_fails, self.lookup_fails = entries, batch_fails, lookup_fails
        self.batches, self.bucket = 0, 1
        self.gone: set[bytes] = set()

    def bpf_map_lookup_batch(self, _fd, begins, ends, keys, values, count, _options) -> int:  # type: ignore[no-untyped-def]
        self.batches += 1
        if self.batch_fails:
            return self._fail(self.batch_fails)
        first, room = int(begins.value) if begins else 0, count._obj.value
        found = list(self.entries.items())[first : first + room]
        count._obj.value = len(found)
        if found and room < self.bucket:  # the kernel gives whole buckets
            count._obj.value = 0
            return self._fail(errno.ENOSPC)
        for into, packed in (
            (keys, b"".join(key for key, _ in found)),
            (values, b"".join(v for _, v in found)),
        ):
            ct.memmove(into, packed, len(packed))
        ends.value = str(first + len(found)).encode()
        return 0 if first + len(found) < len(self.entries) else self._fail(errno.ENOENT)

    def bpf_map_get_next_key(self, _fd: int, last: bytes | None, following: ct.Array[ct.c_char]) -> int:
        keys = list(self.entries)
        place = keys.index(last) + 1 if last in self.entries else 0
        if place == len(keys):
            return self._fail(errno.ENOENT)
        following.raw = keys[place]
        return 0

    def bpf_map_lookup_elem(self, _fd: int, key: bytes, into: ct.c_void_p) -> int:
        if self.lookup_fails or key in self.gone:
            return self._fail(self.lookup_fails or errno.ENOENT)
        ct.memmove(into, self.entries[key], len(self.entries[key]))
        return 0

    def _fail(self, number: int) -> int:
        ct.set_errno(number)
        return -1


def entries_of(n: int) -> Entries:
    """n cgroups, two CPUs and three words each."""
    keys = [np.array((i + 1, 0, 0), KEY).tobytes() for i in range(n)]
    return {key: np.arange(6 * i, 6 * i + 6, dtype=np.uint64).tobytes() for i, key in enumerate(keys)}


def use(monkeypatch: pytest.MonkeyPatch, library: FakeLibrary) -> FakeLibrary:
    monkeypatch.setattr(bpf_maps, "library", lambda: library)
    return library


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP])
def test_without_batches_a_map_is_read_key_by_key(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    library = use(monkeypatch, FakeLibrary(entries_of(5), batch_fails=number))
    reader = map_reader(7, KEY, (2, 3), 64)
    assert isinstance(reader, KeyReader)
    keys, values = reader.read()
    assert keys["id"].tolist() == [1, 2, 3, 4, 5]
    assert values.tolist() == np.arange(30).reshape(5, 2, 3).tolist()
    assert library.batches == 1, "it is tried once, not at every reading"


def test_both_ways_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeLibrary(entries_of(3)))
    reader = map_reader(7, KEY, (2, 3), 64)
    assert isinstance(reader, BatchReader)
    at_once, one_by_one = reader.read(), KeyReader(7, KEY, (2, 3), 64).read()
    for left, right in zip(at_once, one_by_one, strict=True):
        assert left.tobytes() == right.tobytes()
        assert (left.dtype, left.shape) == (right.dtype, right.shape)


@pytest.mark.parametrize("bucket", [1, 100])
def test_a_map_that_grew_is_read_whole_and_what_was_read_before_stays(
    monkeypatch: pytest.MonkeyPatch, bucket: int
) -> None:
    library = use(monkeypatch, FakeLibrary(entries_of(5)))
    reader = BatchReader(7, KEY, (2, 3))
    _, before = reader.read()
    library.entries, library.bucket = entries_of(1_000), bucket
    keys, values = reader.read()
    assert keys["id"].tolist() == list(range(1, 1_001))
    assert values.ravel().tolist() == list(range(6_000))
    library.batches = 0
    assert reader.read()[1].tobytes() == values.tobytes()
    assert library.batches == 1, "there is room for as many as there were"
    assert before.ravel().tolist() == list(range(30))


def test_a_right_that_is_lacking_is_no_want_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeLibrary({}, batch_fails=errno.EPERM))
    with pytest.raises(OSError, match=os.strerror(errno.EPERM)):
        map_reader(7, KEY, (2, 3), 64)


def test_an_empty_map_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeLibrary({}))
    keys, values = KeyReader(7, KEY, (2, 3), 64).read()
    assert (keys.shape, values.shape) == ((0,), (0, 2, 3))


def test_an_entry_that_goes_between_its_key_and_its_value_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = use(monkeypatch, FakeLibrary(entries_of(3)))
    library.gone.add(list(library.entries)[1])
    keys, values = KeyReader(7, KEY, (2, 3), 64).read()
    assert keys["id"].tolist() == [1, 3]
    assert values[:, 0, 0].tolist() == [0, 12]


def test_any_other_failure_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeLibrary(entries_of(3), lookup_fails=errno.EPERM))
    with pytest.raises(OSError, match="reading an entry of a map"):
        KeyReader(7, KEY, (2, 3), 64).read()


def test_a_map_that_never_ends_is_read_no_further_than_it_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeLibrary(entries_of(9)))
    assert len(KeyReader(7, KEY, (2, 3), 4).read()[0]) == 4


@pytest.mark.parametrize(("answer", "there"), [(1, True), (0, False), (-errno.EPERM, False)])
def test_ring_buffers_are_there_if_the_kernel_makes_one(
    monkeypatch: pytest.MonkeyPatch, answer: int, there: bool
) -> None:
    class Probing:
        def libbpf_probe_bpf_map_type(self, kind: int, _options: None) -> int:
            assert kind == 27  # BPF_MAP_TYPE_RINGBUF, include/uapi/linux/bpf.h
            return answer

    monkeypatch.setattr(bpf_maps, "library", Probing)
    assert bpf_maps.has_ring_buffers() is there
