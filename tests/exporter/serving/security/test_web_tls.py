"""TLS over real sockets: versions, client certificates, certificates that change while we serve."""

from __future__ import annotations

import logging
import socket
import ssl
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from exporter.configuration.addresses import parse_address
from exporter.serving.http.server import Server
from exporter.serving.page.application import Application
from exporter.serving.security import tls as web_tls
from exporter.serving.security.security import WebSecurity
from tests.exporter.reference import reference
from tests.exporter.serving.web_kit import (
    FAMILIES,
    Authority,
    Client,
    Tick,
    ask_tls,
    n_open,
    serving_securely,
    trusting,
    wait_for,
)

SERVER_NAMES = ("localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def config(tmp_path: Path, authority: Authority) -> Path:
    authority.issue(*SERVER_NAMES).write(tmp_path, "server")
    return write(tmp_path)


def write(directory: Path, *lines: str) -> Path:
    """A web configuration file with TLS; lines: more keys of tls_server_config."""
    path = directory / "web.yml"
    text = "\n".join(f"  {line}" for line in ("cert_file: server.pem", "key_file: server.key", *lines))
    path.write_text(f"tls_server_config:\n{text}\n")
    return path


def with_clients(directory: Path, authority: Authority, *lines: str) -> Path:
    (directory / "ca.pem").write_bytes(authority.certificate)
    client_auth = "client_auth_type: RequireAndVerifyClientCert"
    return write(directory, client_auth, "client_ca_file: ca.pem", *lines)


def refused(ask: Callable[[], object]) -> None:
    """With TLS 1.3 a client hears of it only when it reads."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_the_page_is_served_over_tls_1_2_and_1_3(
    config: Path, authority: Authority, version: ssl.TLSVersion, address: str
) -> None:
    if address.startswith("[") and not socket.has_ipv6:
        pytest.skip("no IPv6")
    context = trusting(authority.certificate, minimum_version=version, maximum_version=version)
    with serving_securely(config, addresses=[address]) as server:
        assert ask_tls(server.bound[0], context, "/metrics") == (200, reference(FAMILIES))


def test_connections_are_kept_and_pipelined_requests_answered_over_tls(
    config: Path, authority: Authority
) -> None:
    with serving_securely(config, addresses=["127.0.0.1:0", "127.0.0.1:0"]) as server:
        for address in server.bound:
            with (
                socket.create_connection(parse_address(address), timeout=5) as plain,
                trusting(authority.certificate).wrap_socket(plain, server_hostname="localhost") as tls,
            ):
                request = b"%s /-/ready HTTP/1.1\r\nHost: x\r\n%s\r\n"
                tls.sendall(request % (b"GET", b"") * 3 + request % (b"HEAD", b"Connection: close\r\n"))
                answer = b"".join(iter(lambda: tls.recv(65536), b""))
                assert answer.count(b"HTTP/1.1 200 OK") == 4
                assert answer.count(b"ready\n") == 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(config: Path, authority: Authority, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = trusting(authority.certificate, minimum_version=version, maximum_version=version)
    context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL's client would not even try
    alert = pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL")
    with serving_securely(config) as server, alert:
        ask_tls(server.bound[0], context)


@pytest.mark.parametrize(
    ("line", "version", "cipher"),
    [
        ("min_version: TLS13", "TLSv1.3", None),
        ("max_version: TLS12", "TLSv1.2", None),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", "TLSv1.3", None),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]",
            "TLSv1.2",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
    ],
)
def test_versions_and_ciphers_are_those_of_the_file(
    config: Path, authority: Authority, line: str, version: str, cipher: str | None
) -> None:
    write(config.parent, line)
    only_12 = trusting(authority.certificate, maximum_version=ssl.TLSVersion.TLSv1_2)
    with serving_securely(config) as server:
        if version == "TLSv1.3":
            refused(lambda: ask_tls(server.bound[0], only_12))
        context = only_12 if cipher else trusting(authority.certificate)
        with (
            socket.create_connection(parse_address(server.bound[0]), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            assert tls.version() == version
            assert cipher in (None, (tls.cipher() or ("",))[0])


def test_http_to_the_port_for_https_gets_a_400_that_says_so(config: Path, authority: Authority) -> None:
    with serving_securely(config) as server:
        with closing(Client(server.bound[0])) as client:
            response, body = client.ask("/metrics")
            assert response.status == 400
            assert b"HTTPS" in body
        assert ask_tls(server.bound[0], trusting(authority.certificate))[0] == 200


@pytest.mark.parametrize("junk", [b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"hello\r\n\r\n"])
def test_junk_on_the_port_for_https_ends_that_connection_alone(
    config: Path, authority: Authority, junk: bytes
) -> None:
    with serving_securely(config) as server:
        with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
            try:
                sock.sendall(junk)
                while sock.recv(65536):
                    pass
            except ConnectionError:
                pass
        assert ask_tls(server.bound[0], trusting(authority.certificate))[0] == 200


def test_clients_with_a_certificate_of_the_ca_come_in_and_no_others(
    config: Path, authority: Authority
) -> None:
    path = with_clients(config.parent, authority)
    identities = {
        "ours": authority.issue("prometheus"),
        "expired": authority.issue("prometheus", days=-1),
        "foreign": Authority("another CA").issue("prometheus"),
        "namesake": Authority().issue("prometheus"),
    }
    with serving_securely(path) as server:
        for name, identity in identities.items():
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = trusting(authority.certificate, maximum_version=version)
                context.load_cert_chain(*identity.write(config.parent, name))
                if name == "ours":
                    assert ask_tls(server.bound[0], context)[0] == 200
                else:
                    refused(lambda context=context: ask_tls(server.bound[0], context))
        refused(lambda: ask_tls(server.bound[0], trusting(authority.certificate)))


@pytest.mark.parametrize(
    ("sans", "allowed"),
    [
        (("prometheus",), True),
        (("other", "prometheus"), True),
        (("2001:db8::1",), True),
        (("spiffe://cluster/prometheus",), True),
        (("scraper@example.org",), True),
        (("prometheus.example",), False),
        (("Prometheus",), False),
        ((), False),
    ],
)
def test_client_allowed_sans_are_matched_exactly(
    config: Path, authority: Authority, sans: tuple[str, ...], allowed: bool
) -> None:
    names = "['prometheus', '2001:db8:0:0::1', 'spiffe://cluster/prometheus', 'scraper@example.org']"
    path = with_clients(config.parent, authority, f"client_allowed_sans: {names}")
    context = trusting(authority.certificate)
    # The common name is never taken for a name, as in Go.
    context.load_cert_chain(*authority.issue(*sans, common_name="prometheus").write(config.parent, "client"))
    with serving_securely(path) as server:
        if allowed:
            assert ask_tls(server.bound[0], context)[0] == 200
        else:
            refused(lambda: ask_tls(server.bound[0], context))


def test_a_certificate_if_given_is_verified(config: Path, authority: Authority) -> None:
    (config.parent / "ca.pem").write_bytes(authority.certificate)
    path = write(config.parent, "client_auth_type: VerifyClientCertIfGiven", "client_ca_file: ca.pem")
    foreign = trusting(authority.certificate)
    foreign.load_cert_chain(*Authority("another CA").issue("x").write(config.parent, "foreign"))
    with serving_securely(path) as server:
        assert ask_tls(server.bound[0], trusting(authority.certificate))[0] == 200
        refused(lambda: ask_tls(server.bound[0], foreign))


def test_certificates_are_reread_while_connections_go_on(config: Path) -> None:
    """As Kubernetes does it: a directory behind a link is exchanged."""
    old, new = Authority("old"), Authority("new")
    for name, authority in (("v1", old), ("v2", new)):
        (config.parent / name).mkdir()
        authority.issue(*SERVER_NAMES).write(config.parent / name, "server")
    (config.parent / "data").symlink_to("v1")
    config.write_text("tls_server_config: {cert_file: data/server.pem, key_file: data/server.key}\n")
    with serving_securely(config) as server:
        address = parse_address(server.bound[0])
        assert ask_tls(server.bound[0], trusting(old.certificate))[0] == 200
        with (
            socket.create_connection(address, timeout=5) as plain,
            trusting(old.certificate).wrap_socket(plain, server_hostname="localhost") as kept,
        ):
            (config.parent / "next").symlink_to("v2")
            (config.parent / "next").replace(config.parent / "data")
            wait_for(lambda: ask_tls(server.bound[0], trusting(new.certificate))[0] == 200)
            refused(lambda: ask_tls(server.bound[0], trusting(old.certificate)))
            kept.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_certificate_without_its_key_is_refused_and_the_old_one_stays(
    config: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority("other").issue(*SERVER_NAMES)
    with serving_securely(config) as server, caplog.at_level(logging.ERROR):
        (config.parent / "server.pem").write_bytes(other.certificate)
        wait_for(lambda: "the old one stays" in caplog.text)
        assert ask_tls(server.bound[0], trusting(authority.certificate))[0] == 200
        assert caplog.text.count("the old one stays") == 1
        (config.parent / "server.key").write_bytes(other.key)
        wait_for(lambda: _is_refused(server.bound[0], trusting(authority.certificate)))


def test_a_certificate_and_its_key_written_one_after_the_other_are_taken_together(
    config: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority("other")
    identity = other.issue(*SERVER_NAMES)
    with serving_securely(config) as server, caplog.at_level(logging.ERROR):
        (config.parent / "server.pem").write_bytes(identity.certificate)
        time.sleep(0.02)
        (config.parent / "server.key").write_bytes(identity.key)
        wait_for(lambda: not _is_refused(server.bound[0], trusting(other.certificate)))
    assert not caplog.text


def test_a_new_client_ca_shuts_out_whoever_the_old_one_signed(config: Path, authority: Authority) -> None:
    path = with_clients(config.parent, authority)
    context = trusting(authority.certificate)
    context.load_cert_chain(*authority.issue("prometheus").write(config.parent, "client"))
    with serving_securely(path) as server:
        assert ask_tls(server.bound[0], context)[0] == 200
        (config.parent / "ca.pem").write_bytes(Authority("another CA").certificate)
        wait_for(lambda: _is_refused(server.bound[0], context))


def test_handshakes_leave_nothing_open(config: Path, authority: Authority) -> None:
    context = trusting(authority.certificate)
    with serving_securely(config) as server:
        ask_tls(server.bound[0], context)
        before = n_open()
        for _ in range(100):
            ask_tls(server.bound[0], context)
        wait_for(lambda: n_open() <= before)


def test_sessions_that_clients_do_not_resume_are_forgotten(
    config: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_tls, "_RENEW_AFTER", 10)
    context = trusting(authority.certificate, maximum_version=ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_TICKET
    security = WebSecurity(config)
    server = Server(["127.0.0.1:0"], Application(Tick()), security=security)
    server.bind()
    server.start()
    try:
        kept = []
        for _ in range(35):
            assert ask_tls(server.bound[0], context, headers={"Connection": "close"})[0] == 200
            kept.append(security.gate._context.session_stats()["number"])  # type: ignore[union-attr]
    finally:
        server.stop()
    assert 1 < max(kept) <= 10


def _is_refused(address: str, context: ssl.SSLContext) -> bool:
    try:
        ask_tls(address, context)
    except (ssl.SSLError, ConnectionError):
        return True
    return False
