"""Lists and streams are the same in whatever pieces they come."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.names.kube import lines as kube_lines
from exporter.names.kube.failure import Failure
from exporter.names.kube.lines import LineSplitter, ListSplitter

ITEMS = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.just('"items":[{}],')), max_size=5
)


def pieces(text: bytes, cuts: Iterable[int]) -> list[bytes]:
    at = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(at)]


@given(ITEMS, st.lists(st.integers(0, 10_000)), st.booleans(), st.booleans())
def test_a_list_in_any_pieces_is_its_items(
    items: list[dict[str, str]], cuts: list[int], is_indented: bool, comes_first: bool
) -> None:
    around = {"metadata": {"resourceVersion": "7"}}
    whole = {**around, "items": items} if comes_first else {"items": items, **around}
    text = json.dumps(whole, indent=1 if is_indented else None, ensure_ascii=False).encode()
    splitter = ListSplitter()
    assert [item for piece in pieces(text, cuts) for item in splitter.feed(piece)] == items
    assert splitter.metadata() == {"resourceVersion": "7"}


def metadata_of(text: bytes) -> dict[str, object]:
    splitter = ListSplitter()
    list(splitter.feed(text))
    return splitter.metadata()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"{}",
        b'{"items":[{"a":1}]',
        b'{"items":[{"a":1}',
        b'{"metadata":{},"items":[{"a":',
        b'{"metadata":{},"items":[nonsense]}',
        b'{"metadata":7,"items":[]}',
        b'{"metadata":{},"items":{}}',
        b'{"metadata":{},"items":[]} and more',
        b"[" * 100_000,
        b'{"metadata":{},"items":[' + b"[" * 100_000,
        b'{"metadata":{},"items":["\xff"]}',
    ],
)
def test_what_is_no_whole_list_is_malformed(text: bytes) -> None:
    with pytest.raises(Failure) as raised:
        metadata_of(text)
    assert raised.value.reason == "malformed"


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(0, 1000)))
def test_a_stream_in_any_pieces_is_its_lines(lines: list[bytes], cuts: list[int]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    splitter = LineSplitter()
    text = b"".join(line + b"\n" for line in lines)
    assert [line for piece in pieces(text, cuts) for line in splitter.feed(piece)] == lines
    splitter.finish()


def test_a_stream_that_ends_amid_a_line_was_cut() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"whole\nhal") == [b"whole"]
    with pytest.raises(Failure, match="amid a line"):
        splitter.finish()


@pytest.mark.parametrize("splitter", [LineSplitter, ListSplitter])
def test_what_never_ends_is_not_held_in_memory(
    splitter: type[LineSplitter | ListSplitter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_lines, "MAX_OBJECT_BYTES", 1000)
    made = splitter()
    for _ in range(10):
        list(made.feed(b"x" * 100))
    with pytest.raises(Failure, match="bytes"):
        list(made.feed(b"x"))
