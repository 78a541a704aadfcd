"""The web server: tornado in a thread of its own, held to bounded connections, bytes and seconds."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Sequence

from exporter.configuration.addresses import open_listeners, spell_address
from exporter.serving.http.answering import Answering, Application, Guard
from exporter.serving.http.clients import Clients, Security
from exporter.serving.http.limits import Limits

__all__ = ["Limits", "Server"]

_STOP_SECONDS = 0.02


class Server:
    """Serves one application on several addresses. `bind`, then `start`, then `stop`."""

    def __init__(
        self,
        addresses: Sequence[str],
        application: Application,
        limits: Limits | None = None,
        security: Security | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._addresses = tuple(addresses)
        self._application = application
        self._limits = limits or Limits()
        self._security = security
        self._guard = guard
        self._listeners: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def bind(self) -> None:
        """Take the addresses; raises UsageError and takes none if one cannot be had.

        From here on clients can connect; they are answered once the server is started.
        """
        self._listeners = open_listeners(self._addresses)

    @property
    def bound(self) -> list[str]:
        """The addresses taken, with the ports that the kernel chose for :0."""
        return [spell_address(listener) for listener in self._listeners]

    def start(self) -> None:
        """Answer requests, in threads of its own."""
        logging.getLogger("tornado.general").setLevel(logging.ERROR)  # what clients do wrong is no news
        loop, self._stopping = asyncio.new_event_loop(), asyncio.Event()
        self._loop = loop
        self._thread = threading.Thread(target=self._run, args=(loop,), name="web-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop to listen, let the requests under way end within the grace, and free the addresses."""
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._loop = self._thread = None
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        answering = Answering(self._application, self._guard, self._limits)
        clients = Clients(answering, self._limits, self._security)
        for listener in self._listeners:
            clients.listen(listener)
        clients.look()
        await self._stopping.wait()
        for listener in self._listeners:
            clients.ignore(listener)
        grace_ends = time.monotonic() + self._limits.grace_seconds
        while clients.are_busy and time.monotonic() < grace_ends:
            await asyncio.sleep(_STOP_SECONDS)
        answering.close(wait=not clients.are_busy)  # a thread that is stuck is left behind
        clients.close()
