"""A client's stream by itself."""

from __future__ import annotations

import asyncio
import socket

from exporter.serving.http.client_stream import Client
from exporter.serving.http.limits import Limits


def test_nobody_lingers_for_a_client_that_has_gone() -> None:
    """It reset between the last byte of its answer and our goodbye."""

    async def lingered() -> None:
        ours, theirs = socket.socketpair()
        client = Client(ours, "127.0.0.1", Limits())
        theirs.close()
        client.close()
        await client.linger()

    asyncio.run(lingered())
