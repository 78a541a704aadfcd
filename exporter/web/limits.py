"""How much of us web clients can take, and who goes first when there is no room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.web.connection import Connection


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server, over all its addresses.

    requests: that are answered at a time; sending an answer takes no part in it, since it takes no thread.
    request_seconds: from a request's first byte to the response's last; on a new connection from its start.
    idle_seconds: between requests; longer than the usual scrape interval, so that Prometheus keeps its
    connection. grace_seconds: what requests under way get when the server stops.
    """

    threads: int = 4
    connections: int = 256
    requests: int = 40
    request_seconds: float = 10.0
    idle_seconds: float = 75.0
    grace_seconds: float = 0.5
    header_bytes: int = 16_384
    body_bytes: int = 16_384


def least_missed(connections: Collection[Connection]) -> Connection | None:
    """The connection to cut for a new one; None where each has a request with a worker.

    The newcomer always gets in, since it may be Prometheus. Whoever has most connections gives one up; of
    those, one that was never served, and that has got nowhere for longest: a client that means it needs
    milliseconds.
    """
    by_client = Counter(connection.peers.client for connection in connections)
    candidates = [connection for connection in connections if not connection.is_answering]
    return max(
        candidates,
        key=lambda connection: (
            by_client[connection.peers.client],
            not connection.served,
            -connection.since,
        ),
        default=None,
    )
