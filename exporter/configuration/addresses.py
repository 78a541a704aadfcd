"""Listening sockets for addresses as people write them: ":28283", "127.0.0.1:28283", "[::1]:28283"."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from ebpf.errors import UsageError

_BACKLOG = 1024  # as Go has it, within the kernel's somaxconn: past it a client tries again after a second

_MENDS = {
    errno.EADDRINUSE: "stop what listens there (see ss -ltnp) or choose another port",
    errno.EACCES: "choose a port from 1024 on, or give CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "give an address that this machine has, or :PORT for all of them",
}


def open_listeners(addresses: Sequence[str]) -> list[socket.socket]:
    """Sockets that listen on the addresses, each HOST:PORT; none where one of them cannot be had.

    Without a host, or on [::], all interfaces are meant, of IPv6 and of IPv4, as Go has it; of IPv6 alone
    where another address takes the port for IPv4. A name that resolves to several addresses is listened to
    on one of them, IPv4 first. Raises UsageError, naming the address and how to mend it.
    """
    where = [(address, *parse_address(address)) for address in addresses]
    of_ipv4 = {port for _, host, port in where if host and ":" not in host}
    everywhere: set[int] = set()
    with ExitStack() as opened:
        listeners: list[socket.socket] = []
        for address, host, port in where:
            if _is_any(host) and port:
                if port in everywhere:  # :9 and [::]:9 are the same
                    continue
                everywhere.add(port)
            listeners.append(opened.enter_context(_open(address, host, port, port not in of_ipv4 - {0})))
        opened.pop_all()
    return listeners


def _open(address: str, host: str, port: int, dual_stack: bool) -> socket.socket:
    try:
        return _all_interfaces(port, dual_stack) if _is_any(host) else _one_interface(host, port)
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, "choose another address with --web.listen-address")
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise UsageError(f"cannot listen on {address!r}: {reason}; {mend}") from error


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, [IPV6]:PORT or :PORT; UsageError for anything else."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"listen address {address!r}: wanted HOST:PORT or :PORT, such as :28283")
    if ":" in host and bare == host:
        raise UsageError(f"listen address {address!r}: write an IPv6 address in brackets, [{host}]:{port}")
    return bare, int(port)


def spell_address(listener: socket.socket) -> str:
    """The address that a listener has in truth, in the form that `parse_address` reads."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_any(host: str) -> bool:
    """Whether a host is none at all, or IPv6's :: however it is spelt."""
    return not host or (":" in host and not host.strip("0:"))


def _all_interfaces(port: int, dual_stack: bool) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=dual_stack, backlog=_BACKLOG
            )
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # IPv6 is compiled in but switched off
                raise
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104 - as the user asked


def _one_interface(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(where, family=family, backlog=_BACKLOG)
