"""The web configuration file: what exporter-toolkit documents is read, what is wrong is named."""

from __future__ import annotations

import logging
import re
import ssl
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.serving.security.security import WebSecurity, check_web_config
from exporter.serving.security.tls import build_context
from exporter.serving.security.toolkit_file import Rate
from tests.exporter.serving.web_kit import Authority, Client, hashed, serving_securely

TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
HASH = hashed("right")

# Every key of https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
WHOLE = f"""
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus, 10.0.0.1]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: true
  curve_preferences: [CurveP384]
http_server_config:
  http2: true
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: "1; mode=block"
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  prometheus: {HASH}
rate_limit:
  interval: 100ms
  burst: 5
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    authority = Authority()
    authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "foreign.key").write_bytes(authority.issue("x").key)
    (tmp_path / "empty.pem").touch()
    return tmp_path


def write(directory: Path, text: str) -> Path:
    path = directory / "web.yml"
    path.write_text(text)
    return path


def test_every_documented_key_is_read(directory: Path) -> None:
    config = check_web_config(write(directory, WHOLE))
    tls = config.tls
    assert tls is not None
    assert tls.client_allowed_sans == ("prometheus", "10.0.0.1")
    assert [
        cipher["name"] for cipher in build_context(tls).get_ciphers() if "TLS_" not in cipher["name"]
    ] == [
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ]
    assert dict(config.headers)["Strict-Transport-Security"] == "max-age=31536000"
    assert len(config.headers) == 5
    assert config.users == {"prometheus": HASH.encode()}
    assert config.rate == Rate(0.1, 5)
    assert not config.warnings


@pytest.mark.parametrize("text", ["", "{}\n", "tls_server_config: {}\n", "basic_auth_users:\n"])
def test_an_empty_file_is_plain_http_for_everybody(directory: Path, text: str) -> None:
    config = check_web_config(write(directory, text))
    assert (config.tls, config.users, config.headers, config.rate) == (None, {}, (), None)


def test_certificates_may_stand_in_the_file_itself(directory: Path) -> None:
    def indented(name: str) -> str:
        return "".join(f"    {line}\n" for line in (directory / name).read_text().splitlines())

    lines = f"  cert: |\n{indented('server.pem')}  key: |\n{indented('server.key')}"
    assert check_web_config(write(directory, f"tls_server_config:\n{lines}")).tls is not None


def test_the_default_is_tls_1_2_and_forward_secrecy(directory: Path) -> None:
    tls = check_web_config(write(directory, TLS)).tls
    assert tls is not None
    context = build_context(tls)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.verify_mode is ssl.CERT_NONE
    assert all(
        name.startswith(("TLS_", "ECDHE-")) for name in (each["name"] for each in context.get_ciphers())
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "tls_server_confg: {}\n",
            r":1: unknown key tls_server_confg; the nearest known one is tls_server_conf",
        ),
        (
            TLS + "  min_vers: TLS12\n",
            r":4: unknown key tls_server_config.min_vers; .*tls_server_config.min_ver",
        ),
        (TLS + "  min_version: TLS11\n", r":4: .*min_version: found 'TLS11'.*allowed: TLS12, TLS13"),
        (TLS + "  min_version: TLS13\n  max_version: TLS12\n", "min_version is above max_version"),
        (TLS + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "TLS_RSA_WITH_RC4_128_SHA"),
        (TLS + "  curve_preferences: [P256]\n", "the nearest to 'P256' is 'CurveP256'"),
        (TLS + "  cert: x\n", "both cert and cert_file"),
        (TLS.replace("server.pem", "none.pem"), r"cert_file: .*none.pem cannot be read: No such file"),
        (TLS.replace("server.pem", "empty.pem"), "empty.pem and .* cannot be used"),
        (TLS.replace("server.key", "foreign.key"), "foreign.key: cannot be used: key values mismatch"),
        (TLS.replace("server.key", "encrypted.key"), "encrypted.key: the key is encrypted; .*openssl pkey"),
        (TLS.replace("  key_file: server.key\n", ""), r"key_file \(or key\) is missing"),
        (TLS + "  client_auth_type: Require\n", r":4: .*client_auth_type: found 'Require'"),
        (TLS + "  client_auth_type: RequireAnyClientCert\n", "use RequireAndVerifyClientCert"),
        (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", "needs client_ca_file"),
        (TLS + "  client_ca_file: ca.pem\n", "no effect without client_auth_type"),
        (TLS + "  client_allowed_sans: [x]\n", "client_allowed_sans needs"),
        (
            TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.key\n",
            r"client_ca_file .*server.key: cannot be used: .*wanted CA certificates in PEM",
        ),
        ("http_server_config:\n  headers:\n    X-Other: x\n", r":3: unknown key .*X-Other"),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: all\n",
            r":3: .*X-Frame-Options: found 'all'",
        ),
        (
            'http_server_config:\n  headers:\n    Strict-Transport-Security: "x\\r\\nSet-Cookie: y"\n',
            r":3: .*a line break",
        ),
        (
            "basic_auth_users:\n  bob: secret\n",
            r":1: basic_auth_users: what stands at 'bob' is no bcrypt hash",
        ),
        (f"basic_auth_users:\n  7: {HASH}\n", "7 is read as something else than text; quote it"),
        (f"basic_auth_users:\n  a:b: {HASH}\n", "has no colon"),
        ("basic_auth_users: [bob]\n", r":1: basic_auth_users: this is no mapping"),
        ("rate_limit:\n  interval: 1s\n", "burst must be at least 1"),
        ("rate_limit:\n  interval: 5\n  burst: 1\n", r":2: rate_limit.interval: found 5"),
        ("- x\n", r":1: the file must be a mapping"),
        ("a: [", r":1: not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(directory: Path, text: str, complaint: str) -> None:
    command = [
        "openssl",
        "pkey",
        "-in",
        "server.key",
        "-aes256",
        "-passout",
        "pass:x",
        "-out",
        "encrypted.key",
    ]
    if "encrypted" in text:
        subprocess.run(command, cwd=directory, check=True)
    path = write(directory, text)
    with pytest.raises(UsageError, match=re.escape(str(path)) + ".*" + complaint):
        check_web_config(path)


@pytest.mark.parametrize(
    "text",
    [
        f"basic_auth_users:\n  bob: {HASH[:-1]}\n",
        f"basic_auth_users:\n  bob: [{HASH}]\n",
        TLS + "  key: [SECRET]\n",
    ],
)
def test_no_message_tells_a_secret(directory: Path, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_web_config(write(directory, text))
    assert HASH[10:-10] not in str(raised.value)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (f"basic_auth_users:\n  bob: {HASH}\n", "passwords cross the network as they are"),
        (TLS + "  curve_preferences: [X25519, CurveP256]\n", "curve_preferences has no effect"),
    ],
)
def test_what_has_less_effect_than_it_seems_is_warned_of(
    directory: Path, text: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        WebSecurity(write(directory, text))
    assert warning in caplog.text


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check_web_config(tmp_path / "none.yml")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_looking_at_files_that_stay_reads_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    security = WebSecurity(write(directory, TLS), clock)
    gate = security.gate
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read"))
    for _ in range(10):
        clock.now += 1.0
        security.look()
    assert security.gate is gate


def test_tls_is_not_switched_off_by_a_change(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    security = WebSecurity(write(directory, TLS), clock)
    write(directory, "")
    for _ in range(20):
        clock.now += 1.0
        security.look()
    assert security.config.tls is not None
    assert security.gate is not None
    assert caplog.text.count("switched on or off by a restart alone") == 1


def test_a_refused_change_is_tried_again_since_what_it_names_may_come(directory: Path) -> None:
    clock = Clock()
    security = WebSecurity(write(directory, TLS), clock)
    write(directory, TLS.replace("server.", "later."))
    for _ in range(3):
        clock.now += 1.0
        security.look()
    Authority().issue("localhost").write(directory, "later")
    for _ in range(10):
        clock.now += 1.0
        security.look()
    assert directory / "later.pem" in security.config.files


def test_configured_headers_are_on_every_answer_in_place_of_ours(directory: Path) -> None:
    text = WHOLE[WHOLE.index("http_server_config") :]
    with serving_securely(write(directory, text)) as server, closing(Client(server.bound[0])) as client:
        for path in ("/-/ready", "/metrics"):  # 200 and 401
            headers = client.ask(path)[0].headers
            assert headers.get_all("Content-Security-Policy") == ["default-src 'none'"]
            assert headers["Strict-Transport-Security"] == "max-age=31536000"
            assert headers["X-Frame-Options"] == "deny"
            assert headers.get_all("X-Content-Type-Options") == ["nosniff"]


def test_a_rate_limit_is_kept_and_probes_are_outside_of_it(directory: Path) -> None:
    path = write(directory, "rate_limit: {interval: 1h, burst: 3}\n")
    with serving_securely(path) as server, closing(Client(server.bound[0])) as client:
        answers = [client.ask("/metrics")[0] for _ in range(5)]
        assert [answer.status for answer in answers] == [200] * 3 + [429] * 2
        assert answers[-1].headers["Retry-After"] == "1"
        assert client.ask("/-/ready")[0].status == 200
