"""One request's head, from bytes to a value. Pure; stricter than it need be, since no client of ours is lax.

Two servers that read one head differently are how requests are smuggled: what RFC 9112 leaves to the reader
(bare LF, folded lines, doubled fields, a length beside an encoding) is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ebpf.errors import PodjouleError

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_NAME}) ([\x21-\x7e]+) (HTTP/1\.[01])")
_FIELD = re.compile(rf"({_NAME}):([\t\x20-\x7e\x80-\xff]*)")
_TARGET = re.compile(r"(?:https?://[^/?#]+)?(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LENGTH = re.compile(r"[0-9]{1,18}")
_STARTS = re.compile(rb"(?:\r\n?)?[!#$%&'*+.^_`|~0-9A-Za-z-]?")
_ONCE = frozenset({"host", "content-length", "content-type", "authorization", "transfer-encoding"})
_MAX_FIELDS = 100


class BadRequest(PodjouleError):
    """What a client sent is no request for us. status: as "400 Bad Request"."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. target: as it was sent; path: decoded, in Latin-1 as PEP 3333 has it.

    version: HTTP/1.0 or HTTP/1.1. headers: by name in lower case. has_body: bytes follow that are the
    request's own. keep_alive: whether the client goes on after the answer.
    """

    method: str
    target: str
    path: str
    query: str
    version: str
    headers: Mapping[str, str]
    has_body: bool
    keep_alive: bool


def head_length(received: bytes | bytearray, limit: int) -> int:
    """How many of the bytes received are the first request's head; 0 while its end has not come.

    Raises BadRequest as soon as no head can come of them: nobody waits for the rest of what is no HTTP.
    """
    start = 2 if received[:2] == b"\r\n" else 0  # RFC 9112, 2.2: one empty line may come before
    end = received.find(b"\r\n\r\n", start, limit)
    if end >= 0:
        return end + 4
    line_end = received.find(b"\n", start)
    if line_end >= 0:
        _split_line(received[start : line_end + 1].decode("latin-1"))
    elif _STARTS.match(received[:3]).end() < min(len(received), start + 1):  # type: ignore[union-attr]
        raise _bad("this is not HTTP")
    if len(received) >= limit:
        status = "414 URI Too Long" if line_end < 0 else "431 Request Header Fields Too Large"
        raise BadRequest(status, f"the request's head is longer than {limit} bytes")
    return 0


def parse_request(head: bytes, max_body_bytes: int) -> Request:
    """The request that a whole head asks. Raises BadRequest."""
    line, *fields = head.decode("latin-1").removeprefix("\r\n").removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = _split_line(line + "\r\n")
    headers = _headers(fields)
    if "host" not in headers and version == "HTTP/1.1":
        raise _bad("the Host header is missing")
    path, query = _split_target(method, target)
    has_body = _has_body(headers, version, max_body_bytes)
    return Request(method, target, path, query, version, headers, has_body, _keep_alive(headers, version))


def _split_line(line: str) -> tuple[str, str, str]:
    found = _REQUEST_LINE.fullmatch(line.removesuffix("\r\n")) if line.endswith("\r\n") else None
    if found is None:
        raise _bad("wanted METHOD TARGET HTTP/1.1 as the first line, ended by CR LF")
    return found[1], found[2], found[3]


def _headers(fields: list[str]) -> dict[str, str]:
    if len(fields) > _MAX_FIELDS:
        raise BadRequest("431 Request Header Fields Too Large", f"more than {_MAX_FIELDS} header fields")
    headers: dict[str, str] = {}
    for field in fields:
        found = _FIELD.fullmatch(field)
        if found is None:
            raise _bad("a header field must be NAME: VALUE on one line")
        name, value = found[1].lower(), found[2].strip(" \t")
        if name in headers and name in _ONCE:
            raise _bad(f"the {name} header is there twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _split_target(method: str, target: str) -> tuple[str, str]:
    found = _TARGET.fullmatch(target)
    if found is None or not (found[1] or target[0] != "/"):
        if method in ("OPTIONS", "CONNECT") and "#" not in target:
            return target, ""  # the forms of these two; no page answers them
        raise _bad("the target must be a path, such as /metrics")
    path = found[1] or "/"
    if _BAD_ESCAPE.search(path):
        raise _bad("a % in the path must be followed by two hexadecimal digits")
    return unquote_to_bytes(path).decode("latin-1"), found[2] or ""


def _has_body(headers: Mapping[str, str], version: str, max_body_bytes: int) -> bool:
    length = headers.get("content-length")
    encoding = headers.get("transfer-encoding")
    if encoding is not None and (length is not None or version == "HTTP/1.0"):
        raise _bad("Transfer-Encoding beside Content-Length, or in HTTP/1.0: where would the body end?")
    if encoding is not None and encoding.lower() != "chunked":
        raise _bad("the only Transfer-Encoding there is here is chunked")
    if length is not None and not _LENGTH.fullmatch(length):
        raise _bad("Content-Length must be a whole number")
    if int(length or 0) > max_body_bytes:
        raise BadRequest("413 Content Too Large", f"the body is longer than {max_body_bytes} bytes")
    return encoding is not None or int(length or 0) > 0


def _keep_alive(headers: Mapping[str, str], version: str) -> bool:
    asked = {token.strip() for token in headers.get("connection", "").lower().split(",")}
    return "close" not in asked and (version == "HTTP/1.1" or "keep-alive" in asked)


def _bad(reason: str) -> BadRequest:
    return BadRequest("400 Bad Request", reason)
