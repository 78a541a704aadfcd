"""One client's connection, which never makes anybody wait: whatever would block is left for later.

    HANDSHAKE -> READING -> ANSWERING -> SENDING -> READING ... -> LINGERING -> closed

Only the server's loop touches a connection. A worker thread sees a request's whole head and gives a reply, so
that however slowly a client shakes hands, asks or reads, it holds no thread.
"""

from __future__ import annotations

import enum
import logging
import selectors
import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import Protocol

from exporter.web.limits import Limits
from exporter.web.reply import Peers, Reply, refusal
from exporter.web.request import BadRequest, head_length

log = logging.getLogger("exporter.server")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RECEIVE_BYTES = 16_384  # a TLS record
_SEND_BYTES = 262_144
_TURN_BYTES = 1_048_576  # most that is sent to one client before the others have their turn
_LINGER_SECONDS = 1.0


class Gate(Protocol):
    """TLS for one connection."""

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """The connection with TLS about to begin; OSError where the client is gone."""

    def admit(self, sock: ssl.SSLSocket) -> None:
        """Raise OSError for a client that shook hands and must not come in all the same."""


class State(enum.Enum):
    """Where a connection stands; see the module's docstring."""

    HANDSHAKE = enum.auto()
    READING = enum.auto()
    ANSWERING = enum.auto()
    SENDING = enum.auto()
    LINGERING = enum.auto()


class Connection:
    """A connection that was just accepted; now: the monotonic time, as in every method.

    wants: what the socket is to be watched for. deadline: when the client has had its time. since: when it
    last got anywhere, which a byte of a head is not. served: answers with what was asked for.
    """

    def __init__(self, sock: socket.socket, gate: Gate | None, limits: Limits, now: float) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client, server = sock.getpeername(), sock.getsockname()
        self.peers = Peers(client[0], client[1], server[0], server[1], "https" if gate else "http")
        self.sock = gate.wrap(sock) if gate else sock
        self.state = State.HANDSHAKE if gate else State.READING
        self.wants = READ
        self.since = now
        self.deadline = now + limits.request_seconds
        self.served = 0
        self.head = b""
        self._gate = gate
        self._limits = limits
        self._received = bytearray()
        self._outgoing: deque[memoryview] = deque()
        self._reply = Reply((), close=True)

    def advance(self, now: float) -> None:
        """Go on as far as one can without waiting. Raises OSError where the connection is over."""
        try:
            if self.state is State.HANDSHAKE:
                self._shake_hands(now)
            if self.state is State.READING:
                self._read(now)
            elif self.state is State.SENDING:
                self._send(now)
            elif self.state is State.LINGERING:
                self._discard()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as reason:
            sending = self.state is State.SENDING and isinstance(reason, BlockingIOError)
            self.wants = WRITE if sending or isinstance(reason, ssl.SSLWantWriteError) else READ

    def respond(self, reply: Reply, now: float) -> None:
        """Send a reply, as far as that goes at once."""
        self._reply = reply
        self._outgoing.extend(map(memoryview, reply.parts))
        self.state = State.SENDING
        self.advance(now)

    def expire(self, now: float) -> None:
        """The deadline has passed. Raises OSError where nothing is left to be said."""
        if self.state is not State.READING or not self._received:
            raise TimeoutError
        self.deadline = now + _LINGER_SECONDS
        self._received.clear()
        self.respond(refusal("408 Request Timeout", "the request took too long to come"), now)

    def close(self) -> None:
        """End the connection, whatever it is doing. The socket's own shutdown would end TLS in us alone."""
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.sock.close()

    @property
    def is_answering(self) -> bool:
        """Whether a worker has a request of it, or is about to."""
        return self.state is State.ANSWERING

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way that the client waits for."""
        return self.state in (State.ANSWERING, State.SENDING)

    def _shake_hands(self, now: float) -> None:
        if self._gate is None or not isinstance(self.sock, ssl.SSLSocket):
            raise ConnectionError("a handshake without TLS")
        try:
            self.sock.do_handshake()
        except ssl.SSLError as error:
            if error.reason != "HTTP_REQUEST":
                raise
            self._tell_that_this_is_https(now)
            return
        if self.sock.version() is None:
            raise ConnectionError("no TLS")  # never go on in the clear
        self._gate.admit(self.sock)
        self.since = now
        self.state = State.READING

    def _tell_that_this_is_https(self, now: float) -> None:
        parts = refusal("400 Bad Request", "this port speaks HTTPS").parts
        socket.socket.send(self.sock, b"".join(parts))
        self._linger(now)

    def _read(self, now: float) -> None:
        if self._received and self._take_head(now):
            return
        while self.state is State.READING:
            data = self.sock.recv(_RECEIVE_BYTES)
            if not data:
                raise ConnectionError("the client has ended the connection")
            if self.served and not self._received:
                self.deadline = now + self._limits.request_seconds
            self._received += data
            self._take_head(now)

    def _take_head(self, now: float) -> bool:
        """Whether a request is whole, or never will be."""
        try:
            length = head_length(self._received, self._limits.header_bytes)
        except BadRequest as bad:
            self._received.clear()
            self.respond(refusal(bad.status, str(bad)), now)
            return True
        if length:
            self.head = bytes(self._received[:length])
            del self._received[:length]
            self.since = now
            self.state = State.ANSWERING
        return bool(length)

    def _send(self, now: float) -> None:
        sent_bytes = 0
        while self._outgoing:
            if sent_bytes >= _TURN_BYTES:
                raise BlockingIOError
            # TLS wants the same bytes again after it had to wait, so a piece is cut once.
            piece = self._outgoing[0][:_SEND_BYTES]
            sent = self.sock.send(piece)
            sent_bytes += sent
            self.since = now
            rest = self._outgoing.popleft()[sent:]
            if rest:
                self._outgoing.appendleft(rest)
        if self._reply.close:
            self._linger(now)
        else:
            self._await_next(now)

    def _await_next(self, now: float) -> None:
        self.served += self._reply.ok
        waiting = self._limits.request_seconds if self._received else self._limits.idle_seconds
        self.deadline = now + waiting
        self.state = State.READING
        self._read(now)

    def _linger(self, now: float) -> None:
        """Say that we are done; a close with bytes unread would take the answer back from the client."""
        self.state = State.LINGERING
        self.deadline = now + _LINGER_SECONDS
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.version() is not None:
            with suppress(OSError, ValueError):
                self.sock.unwrap()
        socket.socket.shutdown(self.sock, socket.SHUT_WR)
        self._discard()

    def _discard(self) -> None:
        for _ in range(4):
            if not socket.socket.recv(self.sock, _RECEIVE_BYTES):
                raise ConnectionError("both are done")
