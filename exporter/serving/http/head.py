"""One request's head: where it ends, and what it asks.

tornado reads it; two servers that read one head differently are how requests are smuggled, so that what
RFC 9112 leaves to the reader (bare LF, doubled fields, a length beside an encoding) is refused here first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from tornado.http1connection import is_transfer_encoding_chunked, parse_int
from tornado.httputil import HTTPHeaders, HTTPInputError, RequestStartLine

from exporter.serving.http.refusals import BadRequest

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_LINE = rb"%s+ [\x21-\x7e]+ HTTP/1\.[01]\r\n" % _TOKEN
_FIELD = rb"%s+:[\t\x20-\x7e\x80-\xff]*\r\n" % _TOKEN
_FIRST_LINE = re.compile(_LINE)
_WHOLE = re.compile(rb"(?:\r\n)?%s(?:%s)*\r\n" % (_LINE, _FIELD))
_STARTS = re.compile(rb"(?:\r\n?)?%s?" % _TOKEN)
_TARGET = re.compile(r"(?:https?://[^/?#]+)?(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ONCE = ("Host", "Content-Length", "Content-Type", "Authorization", "Transfer-Encoding")
_MAX_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. environ: as PEP 3333 names it. is_last: the connection ends with the answer."""

    environ: Mapping[str, str]
    is_last: bool


def head_length(received: bytes | bytearray, limit: int) -> int:
    """How many of the bytes received are the first request's head; 0 while its end has not come.

    Raises BadRequest as soon as no head can come of them: nobody waits for the rest of what is no HTTP.
    """
    start = 2 if received[:2] == b"\r\n" else 0  # RFC 9112, 2.2: one empty line may come before
    end = received.find(b"\r\n\r\n", start, limit)
    line_end = received.find(b"\n", start)
    is_one = _WHOLE.fullmatch(received, 0, end + 4) if end >= 0 else _can_be_one(received, start, line_end)
    if not is_one:
        raise _bad("wanted METHOD TARGET HTTP/1.1 and NAME: VALUE, each on a line that CR LF ends")
    if end < 0 and len(received) >= limit:
        status = "414 URI Too Long" if line_end < 0 else "431 Request Header Fields Too Large"
        raise BadRequest(status, f"the request's head is longer than {limit} bytes")
    return end + 4 if end >= 0 else 0


def _can_be_one(received: bytes | bytearray, start: int, line_end: int) -> bool:
    if line_end >= 0:
        return _FIRST_LINE.match(received, start) is not None
    starts = _STARTS.match(received[:3])
    return starts is not None and starts.end() >= min(len(received), start + 1)


def read_request(line: RequestStartLine, headers: HTTPHeaders, client: str, body_bytes: int) -> Request:
    """The request of a head that tornado has split. client: its address. Raises BadRequest."""
    if len(list(headers.get_all())) > _MAX_FIELDS:
        raise BadRequest("431 Request Header Fields Too Large", f"more than {_MAX_FIELDS} header fields")
    for name in _ONCE:
        if len(headers.get_list(name)) > 1:
            raise _bad(f"the {name} header is there twice")
    if "Host" not in headers and line.version == "HTTP/1.1":
        raise _bad("the Host header is missing")
    path, query = _split_target(line.method, line.path)
    asked = {token.strip() for token in headers.get("Connection", "").lower().split(",")}
    # We read no bodies, and what is left of one would be taken for the next request.
    is_last = _has_body(headers, line.version, body_bytes) or "close" in asked
    told = {"REQUEST_METHOD": line.method, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": client}
    return Request(_fields(headers) | told, is_last)


def _fields(headers: HTTPHeaders) -> dict[str, str]:
    # Accept_Encoding and Accept-Encoding would be one name here; as nginx does, only the latter is told.
    return {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items() if "_" not in name
    }


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


def _has_body(headers: HTTPHeaders, version: str, most_bytes: int) -> bool:
    if "Transfer-Encoding" in headers and version == "HTTP/1.0":
        raise _bad("Transfer-Encoding in HTTP/1.0: where would the body end?")
    try:
        is_chunked = is_transfer_encoding_chunked(headers)
        n_bytes = parse_int(headers.get("Content-Length", "0")[:20])
    except (HTTPInputError, ValueError) as error:
        raise _bad(str(error)) from error
    if n_bytes > most_bytes:
        raise BadRequest("413 Content Too Large", f"the body is longer than {most_bytes} bytes")
    return is_chunked or n_bytes > 0


def _bad(reason: str) -> BadRequest:
    return BadRequest("400 Bad Request", reason)
