"""A pusher from the configuration, where there is an endpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.configuration.config import Config

if TYPE_CHECKING:
    from exporter.otlp.pusher import Pusher
    from exporter.otlp.sending import Sender

_PACKAGES = ("opentelemetry", "google", "requests")


def open_sender(config: Config) -> Sender | None:
    """Who pushes; None without otlp.endpoint.

    Raises UsageError where OpenTelemetry is not installed, or the CA cannot be read.
    """
    options = config.otlp
    if options.endpoint is None:
        return None
    if options.ca_file is not None and not os.access(options.ca_file, os.R_OK):
        raise UsageError(f"otlp.caFile {options.ca_file} cannot be read")
    try:
        from exporter.otlp.sending import Sender
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise UsageError(
            f"otlp.endpoint needs {error.name}, which is not installed: pip install 'podjoule[otlp]'"
        ) from None
    return Sender(options)


def open_pusher(config: Config, sender: Sender, *, is_kubernetes: bool) -> Pusher:
    """What shows ticks to an endpoint; not started. is_kubernetes: whether Kubernetes names pods here."""
    from exporter.names.container_names import host_root
    from exporter.otlp.entities import Node, host_id
    from exporter.otlp.mapping import Mapper
    from exporter.otlp.pusher import Pusher

    root = host_root(config.host.procfs, os.environ)
    node = Node(config.kube.node_name, is_kubernetes, host_id(root), dict(config.otlp.attributes))
    return Pusher(sender, Mapper(node).requests, config.otlp.interval_seconds, node.name)
