"""A list of Kubernetes as it comes in, and a stream of lines: taken apart without holding all of it."""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator

from exporter.names.kube.failure import Failure

# etcd takes objects of 1.5 MB; a watch event is one object with some words around it.
MAX_OBJECT_BYTES = 8 * 1024 * 1024
_ITEMS = re.compile(r'"items"\s*:\s*\[')
_SPACE = " \t\r\n"

_decoder = json.JSONDecoder()


class ListSplitter:
    """Takes the items off a v1.List one by one, as soon as each is whole.

    5,000 pods are 35 MB of JSON and five times that as objects: an item is read and dropped before the
    next is. A response that is no list raises Failure("malformed").
    """

    def __init__(self) -> None:
        self._utf8 = getincrementaldecoder("utf-8")()
        self._text = ""
        self._head = ""
        self._is_inside = self._is_past = False

    def feed(self, chunk: bytes) -> Iterator[object]:
        """The items that this chunk completes."""
        try:
            self._text += self._utf8.decode(chunk)
        except UnicodeDecodeError as error:
            raise Failure("malformed", "the list is not in UTF-8") from error
        if len(self._text) > MAX_OBJECT_BYTES:
            raise Failure("malformed", f"no whole item in {MAX_OBJECT_BYTES} bytes of a list")
        if not self._is_inside and not self._is_past:
            self._find_items()
        if self._is_inside:
            yield from self._items()

    def metadata(self) -> dict[str, object]:
        """The list's own metadata, once everything was fed."""
        try:
            around = json.loads(self._head + self._text)
        except (ValueError, RecursionError) as error:
            raise Failure("malformed", "the list is no JSON, or not whole") from error
        match around:
            case {"items": [] | None, "metadata": dict(metadata)}:
                return metadata
        raise Failure("malformed", "the answer is no list")

    def _find_items(self) -> None:
        found = _ITEMS.search(self._text)
        if found:
            self._head, self._text = self._text[: found.end()], self._text[found.end() :]
            self._is_inside = True

    def _items(self) -> Iterator[object]:
        at = 0
        while True:
            at = self._skip(at)
            if self._text.startswith("]", at):
                self._is_inside, self._is_past = False, True
                break
            try:
                item, at = _decoder.raw_decode(self._text, at)
            except RecursionError as error:
                raise Failure("malformed", "a list that is nested too deeply") from error
            except ValueError:  # not whole yet, or never: `metadata` will tell
                break
            yield item
        self._text = self._text[at:]

    def _skip(self, at: int) -> int:
        while at < len(self._text) and self._text[at] in _SPACE + ",":
            at += 1
        return at


class LineSplitter:
    """Cuts a stream into lines. Raises Failure("malformed") for one that never ends."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_OBJECT_BYTES:
            raise Failure("malformed", f"a line of more than {MAX_OBJECT_BYTES} bytes")
        return lines

    def finish(self) -> None:
        """The stream has ended. Raises Failure where it ended amid a line."""
        if self._rest.strip():
            raise Failure("connection", "the connection was cut amid a line")
