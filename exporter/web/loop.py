"""The thread that owns every socket and waits for none."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from exporter.web.connection import Connection, Gate
from exporter.web.limits import Limits, least_missed
from exporter.web.reply import Reply, WsgiApplication, refusal
from exporter.web.workers import Workers

log = logging.getLogger("exporter.server")

_LOOK_SECONDS = 0.25  # how often deadlines are looked at
_PATIENCE_SECONDS = 0.25  # a burst outruns the workers for a moment, which is no reason for a 503
_ACCEPTS = 8  # at a turn: a newcomer must have several turns before as many again have come as may stay
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TOO_MANY = refusal(
    "503 Service Unavailable",
    "too many requests at a time; see web.maxRequests",
    ("Retry-After", "1"),
)


class Security(Protocol):
    """What may change while we serve; asked by the server's own thread alone."""

    @property
    def gate(self) -> Gate | None:
        """TLS for new connections; None for plain HTTP."""

    def look(self) -> None:
        """Take over what has changed. Called a few times a second; never raises."""


class Loop:
    """Moves the bytes of every connection, and has the workers answer what is whole."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        application: WsgiApplication,
        limits: Limits,
        security: Security | None,
    ) -> None:
        self._listeners = tuple(listeners)
        self._limits = limits
        self._security = security
        self._workers = Workers(application, limits)
        self._connections: set[Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Connection, int] = {}
        self._under_way = 0
        self._crowd: deque[tuple[float, Connection]] = deque()  # whole requests for which there is no place
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="web-loop", daemon=True)

    def start(self) -> None:
        """Serve, in threads of its own."""
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)
        self._selector.register(self._workers.bell, selectors.EVENT_READ, None)
        self._workers.start()
        self._thread.start()

    def stop(self) -> None:
        """Let what is under way end within the grace, then close every connection."""
        self._stop_at = time.monotonic() + self._limits.grace_seconds
        self._workers.ring()
        self._thread.join()
        self._selector.close()
        self._workers.stop()

    def _run(self) -> None:
        looked = 0.0
        while not self._is_over():
            try:
                self._turn()
                now = time.monotonic()
                if now - looked >= min(_LOOK_SECONDS, self._limits.request_seconds / 4):
                    looked = now
                    self._look(now)
            except Exception:
                log.exception("web server: error in its loop")
                time.sleep(0.1)  # an error that stays must not take the whole CPU
        for connection in tuple(self._connections):
            self._drop(connection)

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        busy = any(connection.is_busy for connection in self._connections)
        return not busy or time.monotonic() > self._stop_at

    def _turn(self) -> None:
        stopping = self._stop_at is not None
        for key, _ in self._selector.select(0.02 if stopping or self._crowd else _LOOK_SECONDS):
            if key.data is None:
                self._workers.hush()
            elif isinstance(key.data, Connection):
                if key.data in self._connections:  # not cut for another one in this very turn
                    self._advance(key.data)
            elif not stopping:
                self._accept(key.data)
            else:
                self._selector.unregister(key.data)
        for connection, reply in self._workers.done():
            self._under_way -= 1
            if connection in self._connections:
                self._respond(connection, reply)
        self._thin_out(time.monotonic())

    def _thin_out(self, now: float) -> None:
        while self._crowd:
            came, connection = self._crowd[0]
            has_place = self._under_way < self._limits.requests
            if not has_place and now - came < _PATIENCE_SECONDS:
                return
            self._crowd.popleft()
            if connection not in self._connections:
                continue
            if has_place:
                self._hand_over(connection)
            else:
                self._respond(connection, _TOO_MANY)

    def _hand_over(self, connection: Connection) -> None:
        self._under_way += 1
        self._workers.put(connection)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    log.warning("web server: a client cannot be let in: %s", error)
                    self._make_room(len(self._connections))
                    time.sleep(0.05)
                return
            self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        self._make_room(self._limits.connections)
        if len(self._connections) >= self._limits.connections:
            sock.close()
            return
        gate = self._security.gate if self._security else None
        try:
            connection = Connection(sock, gate, self._limits, time.monotonic())
        except (OSError, ValueError) as error:
            log.debug("web server: a client left at once: %s", error)
            sock.close()
            return
        self._connections.add(connection)
        self._advance(connection)

    def _make_room(self, most: int) -> None:
        if len(self._connections) >= most > 0:
            victim = least_missed(self._connections)
            if victim:
                self._drop(victim)

    def _advance(self, connection: Connection) -> None:
        self._try(connection, partial(connection.advance, time.monotonic()))

    def _respond(self, connection: Connection, reply: Reply) -> None:
        self._try(connection, partial(connection.respond, reply, time.monotonic()))

    def _try(self, connection: Connection, step: Callable[[], None]) -> None:
        """One step of one connection: whatever is wrong with it, the others go on."""
        try:
            step()
        except (OSError, ValueError) as error:
            log.debug("web server: %s: %s", connection.peers.client, error or "too slow")
            self._drop(connection)
        except Exception:
            log.exception("web server: error in serving %s", connection.peers.client)
            self._drop(connection)
        else:
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        if not connection.is_answering:
            self._watch(connection, connection.wants)
            return
        self._watch(connection, 0)
        if self._crowd or self._under_way >= self._limits.requests:
            self._crowd.append((time.monotonic(), connection))
        else:
            self._hand_over(connection)

    def _watch(self, connection: Connection, events: int) -> None:
        watched = self._watched.get(connection, 0)
        if events == watched:
            return
        if not events:
            self._selector.unregister(connection.sock)
            del self._watched[connection]
            return
        change = self._selector.modify if watched else self._selector.register
        change(connection.sock, events, connection)
        self._watched[connection] = events

    def _look(self, now: float) -> None:
        for connection in [each for each in self._connections if each.deadline < now]:
            self._try(connection, partial(connection.expire, now))
        if self._security:
            self._security.look()

    def _drop(self, connection: Connection) -> None:
        self._watch(connection, 0)
        self._connections.discard(connection)
        connection.close()
