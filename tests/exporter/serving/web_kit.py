"""What the tests of the web server share: a tick, a client, a server, and a maker of certificates."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.configuration.addresses import parse_address
from exporter.configuration.option_tree import Web
from exporter.metrics.exposition import Family, Renderer
from exporter.metrics.negotiation import RenderedPage
from exporter.serving.http.opening import build_server
from exporter.serving.http.server import Limits, Server
from exporter.serving.page.application import Application

FAMILIES = [
    Family("watts", "Watts", "gauge", ("zone",), [(f"zone-{n}",) for n in range(20_000)], [1.5] * 20_000)
]


class Tick:
    """A tick whose state the test sets."""

    def __init__(self) -> None:
        self.page: RenderedPage | None = RenderedPage(partial(Renderer().render, FAMILIES))
        self.reason: str | None = None
        self.on_healthy: Callable[[], object] = lambda: None

    def healthy(self) -> str | None:
        self.on_healthy()
        return self.reason


class Client:
    """A kept-alive connection to a server on loopback."""

    def __init__(self, address: str) -> None:
        self.host, self.port = parse_address(address)
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=5)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, headers=named)
        response = self._connection.getresponse()
        return response, response.read()

    def socket(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=5)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving(
    tick: Tick, limits: Limits | None = None, addresses: Sequence[str] = ("127.0.0.1:0",)
) -> Iterator[Server]:
    with running(Server(addresses, Application(tick), limits)) as server:
        yield server


@contextmanager
def serving_securely(
    path: Path, tick: Tick | None = None, addresses: Sequence[str] = ("127.0.0.1:0",), max_requests: int = 40
) -> Iterator[Server]:
    """A server as `run` builds it, with a web configuration file."""
    with running(
        build_server(Web(tuple(addresses), path, max_requests), Application(tick or Tick()))
    ) as server:
        yield server


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.bind()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, both in PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        paths[0].write_bytes(self.certificate)
        paths[1].write_bytes(self.key)
        return paths


class Authority:
    """A CA of the test's own."""

    def __init__(self, name: str = "test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        key_usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            _builder(self._name, self._name, self._key, now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, common_name: str = "leaf", days: float = 1) -> Identity:
        """A certificate for DNS names, addresses, mailboxes or URIs; days below 0: it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        builder = _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), self._name, key, ends
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Identity(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - datetime.timedelta(days=10))
        .not_valid_after(ends)
    )


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def hashed(password: str, cost: int = 4) -> str:
    """As htpasswd writes it."""
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$xYFnybRB2..dZT.HrRHb.." % cost).decode()


def trusting(ca: bytes, **options: Any) -> ssl.SSLContext:
    """A client's TLS that believes the CA. options: attributes of the context."""
    context = ssl.create_default_context(cadata=ca.decode())
    for name, value in options.items():
        setattr(context, name, value)
    return context


def ask_tls(
    address: str, context: ssl.SSLContext, path: str = "/-/ready", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body over a new TLS connection to localhost."""
    host, port = parse_address(address)
    connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def ended_by(stop: threading.Event) -> Iterator[None]:
    """Threads that go on until `stop` end with the block, however that ends.

    Where they did not, they would take the machine from every test that comes after.
    """
    try:
        yield
    finally:
        stop.set()


def n_open() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_for(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Changes are seen a few times a second."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (ssl.SSLError, ConnectionError):
            pass
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
