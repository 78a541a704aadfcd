"""What `helm test` runs, as the chart's pod runs it, against servers that answer one thing and another."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deploy.chart import VALUES, render
from tests.e2e.cluster.certificates import KUBELET, Authority

BY_NAME = {path.stem: path for path in VALUES}
PAGE = "# TYPE podjoule_ticks_total counter\npodjoule_ticks_total 3.0\n"


@contextmanager
def serving(ready: int, metrics: int, page: str, certificate: Path | None = None) -> Iterator[int]:
    """A port at which the two paths answer so; over TLS by a certificate that nobody knows."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = {"/-/ready": (ready, ""), "/metrics": (metrics, page)}[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def asked(name: str, port: int) -> subprocess.CompletedProcess[str]:
    """The container's command under a file of values, with another address and no patience."""
    (pod,) = render(BY_NAME[name]).of_kind("Pod")
    (container,) = pod["spec"]["containers"]
    script, how, _, _, access = container["args"]
    assert "SECONDS = 120" in script
    script = script.replace("SECONDS = 120", "SECONDS = 0")
    command = [sys.executable, *container["command"][1:], script, how, "localhost", str(port), access]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_exporter_that_answers_passes_and_what_it_has_is_told() -> None:
    with serving(200, 200, PAGE) as port:
        done = asked("default", port)
    assert (done.returncode, done.stdout) == (0, "127.0.0.1 is ready; /metrics has 2 lines\n"), done.stderr


@pytest.mark.parametrize(
    ("ready", "metrics", "page", "said"),
    [
        (503, 200, PAGE, "127.0.0.1: /-/ready answers 503"),
        (200, 500, "", "127.0.0.1: /metrics answers 500"),
        (200, 200, "another_total 1\n", "without podjoule's families"),
        (200, 401, "", "127.0.0.1: /metrics answers 401"),
    ],
)
def test_another_answer_fails_and_is_told(ready: int, metrics: int, page: str, said: str) -> None:
    with serving(ready, metrics, page) as port:
        done = asked("default", port)
    assert done.returncode == 1
    assert said in done.stderr


def test_nobody_there_fails() -> None:
    done = asked("default", 1)
    assert done.returncode == 1
    assert "refused" in done.stderr


def test_where_a_password_is_wanted_being_turned_away_is_right(tls: Path) -> None:
    with serving(200, 401, "", tls) as port:
        done = asked("web-secret", port)
    assert (done.returncode, done.stdout) == (0, "127.0.0.1 is ready; /metrics wants a password\n"), (
        done.stderr
    )


def test_over_tls_no_name_is_verified(tls: Path) -> None:
    with serving(200, 200, PAGE, tls) as port:
        assert asked("tls", port).returncode == 0


def test_where_clients_need_a_certificate_an_open_port_is_enough(tls: Path) -> None:
    with serving(200, 200, PAGE, tls) as port:
        done = asked("tls-inline", port)
    assert (done.returncode, done.stdout) == (0, "127.0.0.1 listens\n"), done.stderr


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    Authority("nobody's").issue(KUBELET, folder)
    return folder / f"{KUBELET.file}.crt"
