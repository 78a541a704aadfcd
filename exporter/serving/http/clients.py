"""All who are connected: who comes in, who has to go, and for how long each may stay."""

from __future__ import annotations

import errno
import logging
import math
import socket
import ssl
import time
from asyncio import Future
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Protocol, cast

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.ioloop import IOLoop
from tornado.iostream import SSLIOStream, StreamClosedError

from exporter.serving.http.answering import Answering
from exporter.serving.http.client_stream import Client, TlsClient
from exporter.serving.http.exchange import Exchange
from exporter.serving.http.limits import Limits, connections_within

log = logging.getLogger("exporter.server")

_ACCEPTS = 8  # at a turn: a newcomer must have a turn before as many again have come as may stay
_PAUSE_SECONDS = 0.05
_LOOK_SECONDS = 0.25  # how late a deadline may be seen
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Gate(Protocol):
    """TLS for new connections."""

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """The connection with TLS about to begin; OSError where the client is gone."""

    def admit(self, sock: ssl.SSLSocket) -> None:
        """Raise OSError for a client that shook hands and must not come in all the same."""


class Security(Protocol):
    """What may change while we serve; asked in the loop alone."""

    @property
    def gate(self) -> Gate | None:
        """TLS for new connections; None for plain HTTP."""

    def look(self) -> None:
        """Take over what has changed. Called a few times a second; never raises."""


class Clients(HTTPServerConnectionDelegate):
    """Every connection of a server. Made, and asked, in the loop alone."""

    def __init__(self, answering: Answering, limits: Limits, security: Security | None) -> None:
        self._answering = answering
        self._limits = limits
        self._security = security
        self._most = connections_within(limits.connections)
        self._loop = IOLoop.current()
        self._clients: set[Client] = set()
        self._look_seconds = min(_LOOK_SECONDS, limits.request_seconds / 4)
        self._look_at = math.inf
        self._looking: object | None = None
        # Each has a deadline that counts from a request's first byte, as tornado's timeouts do not.
        self._parameters = HTTP1ConnectionParameters(
            max_header_size=limits.header_bytes, max_body_size=limits.body_bytes
        )

    @property
    def are_busy(self) -> bool:
        """Whether requests are under way."""
        return any(client.is_busy for client in self._clients)

    def listen(self, listener: socket.socket) -> None:
        """Let in who connects."""
        listener.setblocking(False)
        self._loop.add_handler(listener, self._accept, IOLoop.READ)

    def ignore(self, listener: socket.socket) -> None:
        """Let in nobody more."""
        self._loop.remove_handler(listener)

    def look(self) -> None:
        """End whoever has had its time, and look again when the next one will have had it."""
        now, self._look_at, self._looking = time.monotonic(), math.inf, None
        for client in [each for each in self._clients if each.deadline < now]:
            client.expire()
        self._let_go_of_documents()
        self._let_go_of([each for each in self._clients if not each.fetches_document])
        if self._security:
            self._security.look()
        self._watch(self._due(now))

    def _due(self, now: float) -> float:
        """When somebody is to be looked at; where nobody is, never: an idle server does not wake."""
        if self._security or any(client.body for client in self._clients):
            return now
        return min((client.deadline for client in self._clients), default=math.inf)

    def _watch(self, at: float) -> None:
        """Look at that time at the latest, though a few times a second at most."""
        now = time.monotonic()
        at = max(at, now + self._look_seconds)
        if at < self._look_at:
            self._look_no_more()
            self._look_at, self._looking = at, self._loop.call_later(at - now, self.look)

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._loop.remove_timeout(self._looking)
        self._look_at, self._looking = math.inf, None

    def _let_go_of_documents(self) -> None:
        """At each new answer: between two looks there may come a hundred of them."""
        self._let_go_of([each for each in self._clients if each.fetches_document])

    def _let_go_of(self, clients: Collection[Client]) -> None:
        """Cut those of them who fetch their answers most slowly, until all that they fetch fits.

        Never who fetches the newest: an answer that is larger than the limit is to be had all the same.
        """
        fetching = [each for each in clients if each.body and not each.closed()]
        newest = max(fetching, key=lambda each: each.began).body if fetching else b""
        for client in sorted(fetching, key=lambda each: each.since):
            if _unsent_bytes(fetching) <= self._limits.unsent_bytes:
                return
            if client.body is not newest:
                client.close()

    def close(self) -> None:
        """End every connection."""
        self._look_no_more()
        for client in tuple(self._clients):
            client.close()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """See tornado's."""
        del server_conn
        connection = cast(HTTP1Connection, request_conn)
        return Exchange(connection, self._answering, self._limits.body_bytes, self._let_go_of_documents)

    def on_close(self, server_conn: object) -> None:
        """See tornado's."""
        self._clients.discard(cast(Client, cast(HTTP1ServerConnection, server_conn).stream))

    def _accept(self, listener: socket.socket, events: int) -> None:
        del events
        for _ in range(_ACCEPTS):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._go_without(listener, error)
                return
            self._welcome(sock, address[0])

    def _go_without(self, listener: socket.socket, error: OSError) -> None:
        """No descriptor is left: one of our own is given up, or whoever has them all is waited for."""
        log.warning("web server: a client cannot be let in: %s", error)
        if not self._make_room(len(self._clients)):
            self.ignore(listener)
            self._loop.call_later(_PAUSE_SECONDS, self.listen, listener)

    def _welcome(self, sock: socket.socket, address: str) -> None:
        if not self._make_room(self._most):
            sock.close()
            return
        gate = self._security.gate if self._security else None
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.send_bytes)
            if gate:
                # Without options tornado would read the CAs of this machine, for a client that we are not.
                tls = TlsClient(gate.wrap(sock), address, self._limits, self._watch, ssl_options={})
                self._shake_hands(tls, gate)
            else:
                self._serve(Client(sock, address, self._limits, self._watch))
        except (OSError, ValueError) as error:
            log.debug("web server: a client left at once: %s", error)
            sock.close()

    def _shake_hands(self, client: TlsClient, gate: Gate) -> None:
        self._clients.add(client)
        self._loop.add_future(client.wait_for_handshake(), partial(self._admit, client, gate))

    def _admit(self, client: TlsClient, gate: Gate, shaken: Future[SSLIOStream]) -> None:
        try:
            gate.admit(shaken.result().socket)
        except (OSError, StreamClosedError) as error:
            log.debug("web server: %s: %s", client.address, error)
            client.close()
            self._clients.discard(client)
        else:
            client.since = time.monotonic()
            self._serve(client)

    def _serve(self, client: Client) -> None:
        self._clients.add(client)
        HTTP1ServerConnection(client, self._parameters).start_serving(self)

    def _make_room(self, most: int) -> bool:
        """Whether there are fewer than `most`, if need be because one had to go."""
        if len(self._clients) < most:
            return True
        if victim := least_missed(self._clients):
            victim.close()
            self._clients.discard(victim)
        return victim is not None


def _unsent_bytes(clients: Collection[Client]) -> int:
    """Of the answers that are being fetched; one page serves many."""
    bodies = [client.body for client in clients if not client.closed()]
    return sum({id(body): len(body) for body in bodies}.values())


def least_missed(clients: Collection[Client]) -> Client | None:
    """The connection to cut for a new one; None where we work for each.

    The newcomer always gets in, since it may be Prometheus. Whoever has most connections gives one up; of
    those, one that was never served, and that has got nowhere for longest: a client that means it needs
    milliseconds.
    """
    by_address = Counter(client.address for client in clients)
    return max(
        (client for client in clients if not client.is_answering),
        key=lambda client: (by_address[client.address], not client.served, -client.since),
        default=None,
    )
