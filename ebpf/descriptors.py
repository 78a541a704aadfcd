"""How many descriptors this process may hold."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> None:
    """As many as the hard limit allows: events of each CPU, meters and clients hold some each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
