"""A small Kubernetes API over real TLS: lists and watches pods, has nodes, answers as a kubelet,
and fails on demand.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Json = dict[str, Any]
Fault = Callable[["Exchange"], None]

# A token that is found in a log by any part of it.
TOKEN = "eyJhbGciOiJSUzI1NiJ9.not-for-any-log.c2lnbmF0dXJl"


def write_ca(folder: Path, name: str = "ca") -> tuple[Path, Path]:
    """A CA and a certificate for 127.0.0.1 that it signed; the CA's file, and the server's with its key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer, subject = (x509.Name.from_rfc4514_string(f"CN={cn}") for cn in (f"test {name}", "kubernetes"))
    ca = _certificate(issuer, issuer, ca_key, ca_key, is_ca=True)
    leaf = _certificate(subject, issuer, key, ca_key, is_ca=False)
    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ca_file, server_file = folder / f"{name}.crt", folder / f"{name}-server.pem"
    ca_file.write_bytes(ca.public_bytes(pem))
    server_file.write_bytes(key_pem + leaf.public_bytes(pem))
    return ca_file, server_file


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now, public = datetime.now(UTC), key.public_key()
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False
    )  # fmt: skip
    return (
        x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def pod(n: int, container: int | None = None, **metadata: object) -> Json:
    """Pod n of a DaemonSet as the API server writes it; its container is there once it has an id."""
    status: Json = {"phase": "Pending", "qosClass": "BestEffort"}
    if container is not None:
        running = {"name": "main", "containerID": f"containerd://{container:064x}"}
        status |= {"phase": "Running", "containerStatuses": [running]}
    return {
        "metadata": {
            "name": f"pod-{n}",
            "namespace": "shop",
            "uid": uid(n),
            "resourceVersion": "1",
            **metadata,
        },
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "250m"}}}]},
        "status": status,
    }


def uid(n: int) -> str:
    return f"{n:08x}-0000-4000-8000-000000000000"


class Exchange:
    """One request and the ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, server: KubeServer) -> None:
        self.handler, self.server = handler, server
        url = urlsplit(handler.path)
        self.path, self.query = url.path, dict(parse_qsl(url.query))
        self.authorization = handler.headers.get("Authorization", "")
        self.at = time.monotonic()

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.send_header("Content-Length", str(len(body)))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def begin_stream(self) -> None:
        self.handler.send_response(200)
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()

    def send(self, data: bytes) -> None:
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end_stream(self) -> None:
        self.handler.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection without an end of the answer."""
        self.handler.close_connection = True
        self.handler.connection.shutdown(2)


def status(code: int, body: bytes = b"{}", **headers: str) -> Fault:
    return lambda exchange: exchange.answer(code, body, **headers)


def stream(*pieces: bytes, is_cut: bool = False) -> Fault:
    """An answer in pieces, which ends as it should or is cut off."""

    def fault(exchange: Exchange) -> None:
        exchange.begin_stream()
        for piece in pieces:
            exchange.send(piece)
        exchange.cut() if is_cut else exchange.end_stream()

    return fault


def hang(exchange: Exchange) -> None:
    """Say nothing until the server closes."""
    exchange.server.closing.wait(60)


def hang_amid(exchange: Exchange) -> None:
    """Begin to answer, then say nothing."""
    exchange.begin_stream()
    hang(exchange)


class KubeServer:
    """Serves `pods` at a port that stays its own over stop() and start().

    faults: take the place of the next answers, by kind of request: list, watch, pods (the kubelet's) or node.
    nodes: labels by name.
    """

    def __init__(self, certificate: Path, token: str = TOKEN) -> None:
        self.token, self.pods = token, dict[str, Json]()
        self.faults: dict[str, deque[Fault]] = {
            "list": deque(),
            "watch": deque(),
            "pods": deque(),
            "node": deque(),
        }
        self.nodes = dict[str, dict[str, str]]()
        self.requests: list[tuple[str, Exchange]] = []
        self.closing = threading.Event()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._events: list[tuple[int, bytes]] = []
        self._version, self._changed = 100, threading.Condition()
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def port(self) -> str:
        return str(self._port)

    def count(self, kind: str) -> int:
        """Requests of a kind so far."""
        return sum(found == kind for found, _ in self.requests)

    def start(self) -> None:
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._serve(Exchange(self, server))

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Threads(ThreadingHTTPServer):
            daemon_threads = allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                """Clients come and go."""

            def shutdown_request(self, request: Any) -> None:
                connections.discard(request)
                super().shutdown_request(request)

            def get_request(self) -> Any:
                connection, address = super().get_request()
                # The handshake comes with the first read, in the thread of the request.
                secured = server._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                connections.add(secured)
                return secured, address

        self._connections = connections = set[Any]()
        self._http = Threads(("127.0.0.1", self._port), Handler)
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Be gone, with every connection."""
        self.closing.set()
        with self._changed:
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(2)
        self._thread.join()

    def change(self, kind: str, changed: Json) -> None:
        """ADDED, MODIFIED or DELETED: for those who list, and those who watch."""
        with self._changed:
            self._version += 1
            changed["metadata"]["resourceVersion"] = str(self._version)
            if kind == "DELETED":
                self.pods.pop(changed["metadata"]["uid"], None)
            else:
                self.pods[changed["metadata"]["uid"]] = changed
            self._events.append((self._version, event_line(kind, changed)))
            self._changed.notify_all()

    def _serve(self, exchange: Exchange) -> None:
        watches = exchange.query.get("watch") == "true"
        node = exchange.path.removeprefix("/api/v1/nodes/")
        asked = {"/pods": "pods", f"/api/v1/nodes/{node}": "node"}
        kind = asked.get(exchange.path) or ("watch" if watches else "list")
        self.requests.append((kind, exchange))
        if self.faults[kind]:
            self.faults[kind].popleft()(exchange)
        elif exchange.authorization != f"Bearer {self.token}":
            exchange.answer(401)
        elif kind == "node":
            self._node(exchange, node)
        elif watches:
            self._watch(exchange)
        else:
            self._list(exchange)

    def _node(self, exchange: Exchange, name: str) -> None:
        if name not in self.nodes:
            exchange.answer(404)
            return
        images = [{"names": [f"registry.test/image@sha256:{n:064x}"], "sizeBytes": n} for n in range(50)]
        metadata = {"name": name, "labels": self.nodes[name]}
        exchange.answer(200, compact({"kind": "Node", "metadata": metadata, "status": {"images": images}}))

    def _list(self, exchange: Exchange) -> None:
        everything = list(self.pods.values())
        start, limit = int(exchange.query.get("continue", 0)), int(exchange.query.get("limit", 0))
        end = start + limit if limit else len(everything)
        more = {"continue": str(end)} if end < len(everything) else {}
        metadata = {"resourceVersion": str(self._version), **more}
        exchange.answer(200, pod_list(everything[start:end], metadata))

    def _watch(self, exchange: Exchange) -> None:
        exchange.begin_stream()
        sent, end = (
            int(exchange.query["resourceVersion"]),
            exchange.at + float(exchange.query["timeoutSeconds"]),
        )
        while not self.closing.is_set() and (left := end - time.monotonic()) > 0:
            with self._changed:
                news = [(version, line) for version, line in self._events if version > sent]
                if not news:
                    self._changed.wait(left)
                    continue
            for version, line in news:
                exchange.send(line)
                sent = version
        if not self.closing.is_set():
            exchange.end_stream()


def pod_list(pods: Sequence[Json], metadata: Json) -> bytes:
    return compact({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": list(pods)})


def event_line(kind: str, changed: Json) -> bytes:
    """As the API server writes it, fields in its order."""
    return compact({"type": kind, "object": {"kind": "Pod", "apiVersion": "v1", **changed}}) + b"\n"


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
