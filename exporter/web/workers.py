"""The threads that answer whole requests. They touch no socket but the bell."""

from __future__ import annotations

import logging
import queue
import socket
import threading
from collections import deque

from exporter.web.connection import Connection
from exporter.web.limits import Limits
from exporter.web.reply import Reply, WsgiApplication, answer

log = logging.getLogger("exporter.server")


class Workers:
    """The threads that ask the application. bell: readable when there are replies to be fetched."""

    def __init__(self, application: WsgiApplication, limits: Limits) -> None:
        self.bell, self._clapper = socket.socketpair()
        self.bell.setblocking(False)
        self._clapper.setblocking(False)
        self._application = application
        self._body_bytes = limits.body_bytes
        self._asked: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._replies: deque[tuple[Connection, Reply]] = deque()
        self._grace_seconds = limits.grace_seconds
        self._threads = [
            threading.Thread(target=self._work, name=f"web-worker-{number}", daemon=True)
            for number in range(limits.threads)
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def put(self, connection: Connection) -> None:
        """Have the connection's request answered."""
        self._asked.put(connection)

    def done(self) -> list[tuple[Connection, Reply]]:
        """What was answered since the last call."""
        return [self._replies.popleft() for _ in range(len(self._replies))]

    def ring(self) -> None:
        """Wake the loop."""
        try:
            self._clapper.send(b".")
        except OSError:
            log.debug("web server: the bell rings already")

    def hush(self) -> None:
        """The loop is awake."""
        self.bell.recv(4096)

    def stop(self) -> None:
        """End the threads; one that the application holds up for longer is left to end with the process."""
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(self._grace_seconds)
        self.bell.close()
        self._clapper.close()

    def _work(self) -> None:
        while (connection := self._asked.get()) is not None:
            reply = answer(self._application, connection.head, connection.peers, self._body_bytes)
            self._replies.append((connection, reply))
            self.ring()
