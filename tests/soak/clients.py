"""Clients of every kind: they scrape, do not read, say half of it, or talk rubbish."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import urllib.request
from http.client import HTTPException
from random import Random

from tests.soak.exporter import Exporter

_PATHS = (
    "/metrics", "/", "/api/v1/status", "/api/v1/workloads", "/api/v1/history", "/-/healthy", "/-/ready",
    "/nowhere", "/metrics?x=%ff", "/%00", "/api/v1/history?seconds=nan", "/app.js",
)  # fmt: skip
_ACCEPT = ("*/*", "application/openmetrics-text; version=1.0.0", "text/plain;q=0", ";;;", "a/b" * 500)
_ENCODING = ("gzip", "identity", "gzip;q=0.", "br;q=1, *;q=0")
_RUBBISH = (
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n", b"\x05\x01\x00", b"\x00" * 10_000,
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20, b"G" * 70_000,
)  # fmt: skip


class Clients:
    """They are at most so many at a time that the one who scrapes in earnest is let in."""

    name, pause = "clients", (0.1, 1.0)
    _MOST_OPEN = 12

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._open: list[socket.socket] = []

    def step(self, rng: Random, stopping: threading.Event) -> str:
        kind = rng.choice(("asks", "asks", "does not read", "says half", "rubbish", "noise", "resets"))
        with contextlib.suppress(OSError, HTTPException):  # nobody is there, or it has hung up
            if kind == "asks":
                self._ask(rng)
                return kind
            self._say(rng, kind)
        while len(self._open) > rng.randrange(self._MOST_OPEN):
            self._open.pop(rng.randrange(len(self._open))).close()
        return kind

    def settle(self) -> None:
        while self._open:
            self._open.pop().close()

    def _ask(self, rng: Random) -> None:
        headers = {"Accept": rng.choice(_ACCEPT), "Accept-Encoding": rng.choice(_ENCODING)}
        request = urllib.request.Request(self._exporter.url + rng.choice(_PATHS), headers=headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()

    def _say(self, rng: Random, kind: str) -> None:
        client = socket.create_connection(("127.0.0.1", self._exporter.port), timeout=2)
        self._open.append(client)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        said = {
            "does not read": request * rng.randrange(1, 50),
            "says half": request[: rng.randrange(len(request))],
            "rubbish": rng.choice(_RUBBISH),
            "noise": rng.randbytes(rng.randrange(1, 5_000)),
            "resets": request,
        }
        client.sendall(said[kind])
        if kind == "resets":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._open.remove(client)
            client.close()
