"""Pushing, against a receiver that answers, refuses, hangs or is not there."""

from __future__ import annotations

import logging
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from ebpf.errors import UsageError
from exporter.configuration.config import Config
from exporter.configuration.otlp_options import Otlp
from exporter.metrics.exposition import Family
from exporter.otlp import mapping
from exporter.otlp import pusher as pushers
from exporter.otlp.entities import Node
from exporter.otlp.headers import read_headers
from exporter.otlp.mapping import Mapper
from exporter.otlp.opening import open_sender
from exporter.otlp.outcome import PushFailed, of_status
from exporter.otlp.pusher import Pusher
from exporter.otlp.sending import Sender, full_url
from tests.exporter.otlp.receiver import Receiver, receiving

SECRET = "Bearer s3cr3t-t0k3n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def make(receiver: Receiver) -> Iterator[Callable[..., Pusher]]:
    """A function that makes a pusher to the receiver; tries at most for a second."""
    made: list[Pusher] = []

    def pusher(interval: float = 3.0, **options) -> Pusher:
        otlp = Otlp(**{"endpoint": receiver.url, "interval_seconds": interval, **options})
        made.append(Pusher(Sender(otlp), Mapper(Node("n1", False)).requests, interval, "n1"))
        return made[-1]

    yield pusher
    receiver.released.set()
    for each in made:
        each.close()


def shown(value: float) -> list[Family]:
    return [
        Family(
            "kepler_node_cpu_active_joules_total",
            "h",
            "counter",
            ("node_name", "zone"),
            [("n1", "dram")],
            [value],
        ),
        Family("process_open_fds", "h", "gauge", (), [()], [7.0]),
    ]


def of_pods(*uids: str) -> list[Family]:
    labels = ("node_name", "pod_id", "pod_name", "pod_namespace", "state", "zone")
    rows = [("n1", uid, f"pod-{uid}", "shop", "running", "dram") for uid in uids]
    return [Family("kepler_pod_cpu_joules_total", "h", "counter", labels, rows, [1.0] * len(rows))]


def pods_in(receiver: Receiver) -> set[str]:
    attributes = (
        each for push in receiver.pushes for of in push.resource_metrics for each in of.resource.attributes
    )
    return {each.value.string_value for each in attributes if each.key == "k8s.pod.uid"}


def failed(pusher: Pusher) -> dict[str, int]:
    return {reason: n for reason, n in pusher.counts.errors.items() if n}


def test_what_was_shown_last_is_pushed_once(make: Callable[..., Pusher], receiver: Receiver) -> None:
    pusher = make()
    pusher.push()
    for value in (1.0, 2.5):
        pusher.show(shown(value))
    pusher.push()
    pusher.push()
    assert pusher.counts.pushed == len(receiver.pushes) == 1
    metrics = receiver.pushes[0].resource_metrics[0].scope_metrics[0].metrics
    assert [(m.name, m.sum.data_points[0].as_double) for m in metrics] == [
        ("kepler.node.cpu.active.joules", 2.5)
    ]


@pytest.mark.parametrize(("compression", "encoding"), [("gzip", "gzip"), ("none", None)])
def test_a_push_is_a_request_of_otlp(
    make: Callable[..., Pusher], receiver: Receiver, compression: str, encoding: str | None
) -> None:
    pusher = make(compression=compression)
    pusher.show(shown(1.0))
    pusher.push()
    path, headers = receiver.asked[0]
    assert path == "/v1/metrics"
    assert (headers["content-type"], headers.get("content-encoding")) == ("application/x-protobuf", encoding)


def test_a_path_of_ones_own_stays() -> None:
    assert [
        full_url(each) for each in ("http://a:1", "http://a:1/", "http://a:1/api/v1/otlp/v1/metrics")
    ] == [
        "http://a:1/v1/metrics",
        "http://a:1/v1/metrics",
        "http://a:1/api/v1/otlp/v1/metrics",
    ]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorized"), (403, "unauthorized"), (302, "redirect"), (400, "status"), (503, "status")],
)
def test_an_answer_that_refuses_is_counted(
    make: Callable[..., Pusher],
    receiver: Receiver,
    status: int,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pusher = make()
    receiver.status = status
    receiver.headers = {"Location": "http://127.0.0.1:1/"}
    for value in (1.0, 2.0):
        pusher.show(shown(value))
        pusher.push()
    assert (pusher.counts.pushed, failed(pusher)) == (0, {reason: 2})
    assert [record.name for record in caplog.records] == ["exporter.otlp"]  # once, and in words of ours
    receiver.status = 200
    pusher.push()
    assert (pusher.counts.pushed, failed(pusher)) == (1, {reason: 2})


def test_one_that_is_busy_is_asked_again(make: Callable[..., Pusher], receiver: Receiver) -> None:
    pusher = make(interval=15.0)
    receiver.status = 503
    pusher.show(shown(1.0))
    threading.Timer(0.3, setattr, (receiver, "status", 200)).start()
    pusher.push()
    assert (pusher.counts.pushed, failed(pusher)) == (1, {})
    assert len(receiver.asked) == 2


def test_points_that_are_refused_are_no_success(make: Callable[..., Pusher], receiver: Receiver) -> None:
    pusher = make()
    receiver.rejected = 3
    pusher.show(shown(1.0))
    pusher.push()
    assert (pusher.counts.pushed, failed(pusher)) == (0, {"rejected": 1})


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_is_refused_holds_up_no_other(
    make: Callable[..., Pusher], receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(mapping, "MAX_POINTS", 1)
    pusher = make()
    receiver.first = [status]
    pusher.show([*shown(1.0), *of_pods("a", "b")])
    pusher.push()
    assert (len(receiver.asked), pods_in(receiver)) == (3, {"a", "b"})
    assert (pusher.counts.pushed, failed(pusher)) == (0, {"status": 1})


def test_points_that_are_refused_hold_up_no_others_and_are_not_sent_again(
    make: Callable[..., Pusher], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MAX_POINTS", 1)
    pusher = make()
    receiver.rejected = 1
    pusher.show([*shown(1.0), *of_pods("a", "b")])
    pusher.push()
    pusher.push()
    assert (len(receiver.asked), pods_in(receiver)) == (3, {"a", "b"})
    assert (pusher.counts.pushed, failed(pusher)) == (0, {"rejected": 1})


@pytest.mark.parametrize("status", [401, 302, 404])
def test_an_endpoint_that_takes_nothing_is_asked_once(
    make: Callable[..., Pusher], receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(mapping, "MAX_POINTS", 1)
    pusher = make()
    receiver.status = status
    pusher.show([*shown(1.0), *of_pods("a", "b")])
    pusher.push()
    assert len(receiver.asked) == sum(failed(pusher).values()) == 1


def test_what_an_endpoint_says_forges_no_line_of_the_log(
    make: Callable[..., Pusher], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    pusher = make()
    receiver.rejected, receiver.why = 1, "no\nlevel=error msg=forged\u2028\x1b[31m" + "x" * 1000
    pusher.show(shown(1.0))
    pusher.push()
    assert r"refused 1 points: no\nlevel=error msg=forged\u2028\u001b[31mxxx" in caplog.text
    assert max(map(len, caplog.messages)) < 450
    assert str(of_status(400, "a\rb")) == r"answered 400 a\rb"


@pytest.mark.parametrize(
    ("url", "reason"), [("http://127.0.0.1:9", "unreachable"), ("http://no.invalid", "unreachable")]
)
def test_nobody_there_is_counted(make: Callable[..., Pusher], url: str, reason: str) -> None:
    pusher = make(endpoint=url)
    pusher.show(shown(1.0))
    pusher.push()
    assert failed(pusher) == {reason: 1}


def test_one_that_does_not_answer_holds_nobody(make: Callable[..., Pusher], receiver: Receiver) -> None:
    pusher = make(interval=1.0)
    receiver.silent = True
    pusher.start()
    longest = 0.0
    for value in range(30):
        began = time.perf_counter()
        pusher.show(shown(float(value)))
        pusher.families()
        longest = max(longest, time.perf_counter() - began)
        time.sleep(0.05)
    assert longest < 0.05
    assert failed(pusher)["timeout"] >= 1


def test_what_is_left_is_pushed_at_the_end(make: Callable[..., Pusher], receiver: Receiver) -> None:
    pusher = make(interval=3600.0)
    pusher.start()
    pusher.show(shown(1.0))
    _until(lambda: pusher.counts.pushed == 1)
    pusher.show(shown(2.0))
    pusher.close()
    assert len(receiver.pushes) == pusher.counts.pushed == 2


def test_the_end_waits_for_nobody(
    make: Callable[..., Pusher],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pushers, "FLUSH_SECONDS", 0.3)
    pusher = make(interval=3600.0)
    receiver.silent = True
    pusher.show(shown(1.0))
    pusher.start()
    _until(lambda: receiver.asked)
    began = time.perf_counter()
    pusher.close()
    assert time.perf_counter() - began < 1.0
    assert "stopping without it" in caplog.text


def test_what_nobody_thought_of_is_counted_and_goes_on(
    make: Callable[..., Pusher], receiver: Receiver
) -> None:
    pusher = make()
    pusher._requests = lambda _: 1 / 0
    pusher.show(shown(1.0))
    pusher.push()
    assert failed(pusher) == {"internal": 1}


def test_its_own_families_are_on_the_page(make: Callable[..., Pusher]) -> None:
    pushes, errors = make().families()
    assert (pushes.name, list(pushes.values)) == ("podjoule_otlp_pushes_total", [0.0])
    assert ("n1", "timeout") in errors.labels


# --- headers


def test_headers_are_read_anew_for_every_push(
    make: Callable[..., Pusher], receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    pusher = make(headers_file=file)
    for token in ("one", "two"):
        file.write_text(f"# the collector's\n\nAuthorization: Bearer {token}\nX-Scope-OrgID: 7\n")
        pusher.show(shown(1.0))
        pusher.push()
    assert [headers["authorization"] for _, headers in receiver.asked] == ["Bearer one", "Bearer two"]
    assert receiver.asked[0][1]["x-scope-orgid"] == "7"


def test_a_netrc_takes_no_headers_place(
    make: Callable[..., Pusher], receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "headers").write_text(f"Authorization: {SECRET}\n")
    pusher = make(headers_file=tmp_path / "headers")
    pusher.show(shown(1.0))
    pusher.push()
    assert receiver.asked[0][1]["authorization"] == SECRET


@pytest.mark.parametrize(
    "line", ["s3cr3t-t0k3n", "Authorization:", "A b: s3cr3t", "A: s3cr3t\x01x", ": s3cr3t", "A: s3cr3ét"]
)
def test_a_line_that_is_no_header_is_refused_and_not_shown(tmp_path: Path, line: str) -> None:
    (tmp_path / "headers").write_text(f"X: y\n{line}\n")
    with pytest.raises(PushFailed) as failure:
        read_headers(tmp_path / "headers")
    assert failure.value.reason == "headers"
    assert str(tmp_path) in str(failure.value)
    assert "s3cr3" not in str(failure.value)


def test_headers_are_in_no_line_of_the_log(
    make: Callable[..., Pusher], receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "headers").write_text(f"Authorization: {SECRET}\n")
    pusher = make(headers_file=tmp_path / "headers")
    for status in (200, 401, 302, 503):
        receiver.status = status
        pusher.show(shown(1.0))
        pusher.push()
    pusher._requests = lambda _: {}[SECRET]
    pusher.show(shown(1.0))
    pusher.push()
    told = [record for record in caplog.records if record.exc_info is None]
    assert len(told) > 4
    assert not [record for record in told if "s3cr3t" in record.getMessage()]


def test_a_file_that_is_gone_is_counted(
    make: Callable[..., Pusher], receiver: Receiver, tmp_path: Path
) -> None:
    pusher = make(headers_file=tmp_path / "none")
    pusher.show(shown(1.0))
    pusher.push()
    assert (failed(pusher), receiver.asked) == ({"headers": 1}, [])


# --- TLS


@pytest.fixture
def certificate(tmp_path: Path, require_command: Callable[[str], str]) -> Path:
    """Certificate and key for 127.0.0.1, which signs itself."""
    file = tmp_path / "cert.pem"
    command = (
        f"{require_command('openssl')} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    )
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command.split(), *names, "-keyout", file, "-out", tmp_path / "c"], check=True, capture_output=True
    )
    file.write_text(file.read_text() + (tmp_path / "c").read_text())
    return file


def test_the_certificate_is_verified_by_the_file_given(
    make: Callable[..., Pusher], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(context) as secure:
        believes, doubts = make(endpoint=secure.url, ca_file=certificate), make(endpoint=secure.url)
        for pusher in (believes, doubts):
            pusher.show(shown(1.0))
            pusher.push()
        assert (believes.counts.pushed, failed(believes)) == (1, {})
        assert (doubts.counts.pushed, failed(doubts)) == (0, {"tls": 1})


@pytest.mark.parametrize("before", [None, PushFailed("tls", "self-signed certificate")])
def test_a_try_for_which_no_time_is_left_takes_nothing_from_why_the_one_before_failed(
    before: PushFailed | None,
) -> None:
    session = Sender(Otlp(endpoint="https://127.0.0.1:1"))._session
    session.failure = before
    with pytest.raises(requests.exceptions.Timeout):
        session.request("POST", "https://127.0.0.1:1/v1/metrics", timeout=-1e-6)
    assert session.failure is not None
    assert session.failure.reason == (before.reason if before else "timeout")


# --- opening


def test_without_an_endpoint_nothing_is_opened() -> None:
    assert open_sender(Config()) is None


def test_a_package_that_is_missing_is_told_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "exporter.otlp.sending"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"pip install 'podjoule\[otlp\]'"):
        open_sender(Config(otlp=Otlp(endpoint="http://a")))


def test_a_ca_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"otlp\.caFile .* cannot be read"):
        open_sender(Config(otlp=Otlp(endpoint="https://a", ca_file=tmp_path / "none")))


def test_run_imports_no_opentelemetry_without_an_endpoint() -> None:
    code = (
        "import exporter.commands.run, sys;"
        " sys.exit(bool({'opentelemetry', 'requests'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
