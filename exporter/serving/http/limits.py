"""How much of us web clients can take."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

# Descriptors left to meters, /proc and the files that a tick opens, whatever clients do.
_RESERVED = 24
_LEAST_CONNECTIONS = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server, over all its addresses.

    threads: that answer scrapes and probes; documents have one of their own. requests: of each of these two
    kinds that are answered at a time; sending an answer takes no part in it, since it takes no thread.
    request_seconds: from a request's first byte to the response's last; on a new connection from its start.
    idle_seconds: between requests; longer than the usual scrape interval, so that Prometheus keeps its
    connection. grace_seconds: what requests under way get when the server stops. send_bytes: what the kernel
    holds of an answer for one client, which it doubles for its own needs. unsent_bytes: of all scrapes that
    differ, and likewise of documents, where one alone is not larger.
    """

    threads: int = 4
    connections: int = 256
    requests: int = 40
    request_seconds: float = 10.0
    idle_seconds: float = 75.0
    grace_seconds: float = 0.5
    header_bytes: int = 16_384
    body_bytes: int = 16_384
    send_bytes: int = 98_304
    unsent_bytes: int = 6_291_456


def connections_within(most: int) -> int:
    """At most `most`, and fewer where the process may not open so many descriptors beside those it has."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    return min(most, max(_LEAST_CONNECTIONS, soft - n_open - _RESERVED))
