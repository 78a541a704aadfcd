"""The web server: one thread that moves bytes and never waits, and a few that answer whole requests.

Held to bounded threads, connections, requests and seconds, whatever clients do.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from exporter.web.limits import Limits
from exporter.web.listen import open_listener, spell_address
from exporter.web.loop import Loop, Security
from exporter.web.reply import WsgiApplication

__all__ = ["Limits", "Server"]


class Server:
    """Serves one WSGI application on several addresses. `bind`, then `start`, then `stop`.

    An answer is taken whole from the application before the first byte of it is sent.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        application: WsgiApplication,
        limits: Limits | None = None,
        security: Security | None = None,
    ) -> None:
        self._addresses = tuple(addresses)
        self._application = application
        self._limits = limits or Limits()
        self._security = security
        self._listeners: list[socket.socket] = []
        self._loop: Loop | None = None

    def bind(self) -> None:
        """Take the addresses; raises UsageError and takes none if one cannot be had.

        From here on clients can connect; they are answered once the server is started.
        """
        try:
            for address in self._addresses:
                self._listeners.append(open_listener(address))
        except BaseException:
            self._close_listeners()
            raise

    @property
    def bound(self) -> list[str]:
        """The addresses taken, with the ports that the kernel chose for :0."""
        return [spell_address(listener) for listener in self._listeners]

    def start(self) -> None:
        """Answer requests, in threads of its own."""
        self._loop = Loop(self._listeners, self._application, self._limits, self._security)
        self._loop.start()

    def stop(self) -> None:
        """Stop to listen, let the requests under way end within the grace, and free the addresses."""
        if self._loop:
            self._loop.stop()
            self._loop = None
        self._close_listeners()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []
