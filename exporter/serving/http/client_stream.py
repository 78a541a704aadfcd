"""One client's stream, and by what it is judged when places are short.

tornado moves the bytes. What is ours: heads are read strictly, a connection ends so that the last answer can
still be read, and it is known when a client last got anywhere.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from exporter.serving.http.head import head_length
from exporter.serving.http.limits import Limits
from exporter.serving.http.refusals import BadRequest, last_word, refusal

_LINGER_SECONDS = 1.0
_LINGER_BYTES = 65_536
_READ_BYTES = 16_384  # a TLS record

_TOO_SLOW = last_word(refusal("408 Request Timeout", "the request took too long to come"))
_SPEAK_TLS = last_word(refusal("400 Bad Request", "this port speaks HTTPS"))


class Client(IOStream):
    """A connection in the clear that was just accepted.

    deadline: when the client has had its time, monotonic. watch: is told when to look at the client at the
    latest. since: when it last got anywhere, which a byte of a head is not. served: answers with what was
    asked for. is_answering: we work for it. body: being sent, since began. fetches_document: what it asked
    for last was made for it, and is no scrape.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        limits: Limits,
        watch: Callable[[float], None] = lambda _: None,
        **options: Any,
    ) -> None:
        self.address = address
        self._watch = watch
        self.since = time.monotonic()
        self.deadline = self.since + limits.request_seconds
        self.served = 0
        self.is_answering = False
        self.body, self.began = b"", 0.0
        self.fetches_document = False
        self._limits = limits
        self._received = bytearray()
        super().__init__(sock, read_chunk_size=_READ_BYTES, **options)

    @property
    def deadline(self) -> float:
        """See the class."""
        return self._deadline

    @deadline.setter
    def deadline(self, at: float) -> None:
        self._deadline = at
        self._watch(at)

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way that the client waits for."""
        return self.is_answering or self.writing()

    def begin_answer(self, body: bytes) -> None:
        """Have it fetched from now on; one body for all who ask for it, never a copy."""
        self.body, self.began = body, time.monotonic()
        self.since = self.began
        self._watch(self.began)

    async def read_head(self, limit: int) -> bytes:
        """The next request's head; StreamClosedError where there is none, after the client heard why."""
        is_idle = self.served and not self._received
        if is_idle:
            self.deadline = time.monotonic() + self._limits.idle_seconds
        try:
            while not (n_bytes := head_length(self._received, limit)):
                self._received += await self.read_bytes(_READ_BYTES, partial=True)
                if is_idle:
                    is_idle, self.deadline = False, time.monotonic() + self._limits.request_seconds
        except BadRequest as bad:
            await self.write(last_word(refusal(bad.status, str(bad))))
            await self.linger()
            self.close()
            raise StreamClosedError from bad
        self.since = time.monotonic()
        head = bytes(self._received[:n_bytes])
        del self._received[:n_bytes]
        return head

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """How tornado reads a head, and nothing else: with an expression that is less strict than ours."""
        del regex
        return asyncio.ensure_future(self.read_head(max_bytes or self._limits.header_bytes))

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """See tornado's. A client that says no more, in the midst of our answer, may still read it."""
        n_bytes = super().read_from_fd(buf)
        if n_bytes == 0 and not self.reading():
            self.io_loop.update_handler(self.fileno(), IOLoop.ERROR | (IOLoop.WRITE * self.writing()))
            return None
        return n_bytes

    def write_to_fd(self, data: memoryview) -> int:
        """See tornado's."""
        n_bytes = super().write_to_fd(data)
        if n_bytes:
            self.since = time.monotonic()
        return n_bytes

    def expire(self) -> None:
        """End the connection whose deadline has passed."""
        if self._received and self.reading():
            self.write(_TOO_SLOW)
        self.close()

    def say_end(self) -> None:
        """Tell the client, where the protocol has a word for it, that nothing more comes."""

    async def linger(self) -> None:
        """Say that we are done; a close with bytes unread would take the answer back from the client."""
        if self.closed():  # by a client that reset as soon as the answer was out
            return
        self.deadline = time.monotonic() + _LINGER_SECONDS
        with suppress(OSError, ValueError):
            self.say_end()
            # A TLS socket's own would end TLS in us alone.
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
            left = _LINGER_BYTES
            while left > 0:
                left -= len(await self.read_bytes(left, partial=True))


class TlsClient(Client, SSLIOStream):
    """A connection with TLS about to begin."""

    def say_end(self) -> None:
        """See Client: TLS has one, without which an answer may have been cut."""
        with suppress(ssl.SSLWantReadError):
            self.socket.unwrap()

    def close_fd(self) -> None:
        """See tornado's. A browser sent to the wrong scheme is told so, in the clear."""
        if isinstance(self.error, ssl.SSLError) and self.error.reason == "HTTP_REQUEST":
            with suppress(OSError):
                socket.socket.send(self.socket, _SPEAK_TLS)
        super().close_fd()
