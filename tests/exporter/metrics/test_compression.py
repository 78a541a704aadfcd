from __future__ import annotations

import gzip
import os
import sys

import pytest

from exporter.metrics.compression import compressor

LINES = b"".join(b'kepler_container_cpu_watts{container_id="%d"} %d.25\n' % (n, n * n) for n in range(5_000))
BODIES = pytest.mark.parametrize(
    "body", [b"", b"x", LINES, os.urandom(300_000)], ids=["0", "1", "page", "noise"]
)


@BODIES
def test_gzip_reads_what_isa_l_wrote(body: bytes) -> None:
    assert sys.modules.get("isal.isal_zlib"), "pip install podjoule[fast]"
    assert gzip.decompress(compressor()(body)) == body


@BODIES
def test_without_isa_l_it_is_zlib(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    compressed = compressor()(body)
    assert compressed == gzip.compress(body, 1, mtime=0)
    assert gzip.decompress(compressed) == body


def test_the_same_body_is_the_same_bytes_and_no_more_of_them_than_zlib_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compressed = compressor()(LINES)
    assert compressed == compressor()(LINES)
    monkeypatch.setitem(sys.modules, "isal", None)
    assert len(compressed) <= 1.1 * len(compressor()(LINES))
