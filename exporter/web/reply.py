"""What goes back to a client: a WSGI application's answer as bytes, or our own word why there is none."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from exporter.web.request import BadRequest, Request, parse_request

log = logging.getLogger("exporter.server")

WsgiApplication = Callable[..., Iterable[bytes]]
_UNSAFE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_JOINED_BYTES = 65_536  # one packet more costs more than copying this


@dataclass(frozen=True, slots=True)
class Peers:
    """The two ends of a connection, as PEP 3333 wants them told."""

    client: str
    client_port: int
    server: str
    server_port: int
    scheme: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The bytes of one response. close: the connection ends with it. ok: the client got what it asked for."""

    parts: tuple[bytes, ...]
    close: bool
    ok: bool = False


def answer(application: WsgiApplication, head: bytes, peers: Peers, max_body_bytes: int) -> Reply:
    """Let the application answer one request. Never raises: a bad request is a 4xx, our own error a 500."""
    try:
        request = parse_request(head, max_body_bytes)
    except BadRequest as bad:
        return refusal(bad.status, str(bad))
    try:
        return _ask(application, request, peers)
    except Exception:
        log.exception("web server: error in answering %s %.200s", request.method, request.target)
        return refusal("500 Internal Server Error", "the exporter's log says more")


def refusal(status: str, reason: str, *headers: tuple[str, str], close: bool = True) -> Reply:
    """A short text instead of a page."""
    body = f"{status[4:]}: {reason}\n".encode()
    told = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        *headers,
    ]
    return _reply(status, told, [body], "HTTP/1.1", not close)


def _ask(application: WsgiApplication, request: Request, peers: Peers) -> Reply:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    result = application(_environ(request, peers), lambda *told: started.append((told[0], told[1])))
    try:
        chunks = [chunk for chunk in result if chunk]
    finally:
        getattr(result, "close", lambda: None)()
    status, headers = started[-1]
    if not any(name.lower() == "content-length" for name, _ in headers):
        headers = [*headers, ("Content-Length", str(sum(map(len, chunks))))]
    # We read no bodies, and what is left of one would be taken for the next request.
    keep_alive = request.keep_alive and not request.has_body
    return _reply(status, headers, [] if request.method == "HEAD" else chunks, request.version, keep_alive)


def _reply(
    status: str, headers: Iterable[tuple[str, str]], chunks: list[bytes], version: str, keep_alive: bool
) -> Reply:
    ending = [] if version == "HTTP/1.1" else [("Connection", "keep-alive")]
    fields = [
        *headers,
        ("Date", formatdate(usegmt=True)),
        ("Server", "podjoule"),
        *(ending if keep_alive else [("Connection", "close")]),
    ]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields)]
    if any(map(_UNSAFE.search, lines)):
        raise ValueError("a header would end its line early")
    head = "\r\n".join([*lines, "\r\n"]).encode("latin-1")
    short = sum(map(len, chunks)) <= _JOINED_BYTES
    parts = (b"".join((head, *chunks)),) if short else (head, *chunks)
    return Reply(parts, not keep_alive, status[0] in "23")


def _environ(request: Request, peers: Peers) -> dict[str, Any]:
    # Accept_Encoding and Accept-Encoding would be one name here; as nginx does, only the latter is told.
    fields = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in request.headers.items()
        if "_" not in name and name not in ("content-type", "content-length")
    }
    return fields | {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": peers.server,
        "SERVER_PORT": str(peers.server_port),
        "SERVER_PROTOCOL": request.version,
        "REMOTE_ADDR": peers.client,
        "REMOTE_PORT": str(peers.client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": peers.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
