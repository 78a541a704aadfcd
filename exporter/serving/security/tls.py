"""TLS for the web server, from settings with Go's names to Python's ssl."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ebpf.errors import UsageError

# Names of https://pkg.go.dev/crypto/tls#pkg-constants; those of TLS 1.3 cannot be chosen, in Go neither.
TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
TLS12_CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": ""}
VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,  # asks for one and never looks at it
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
# A context remembers the sessions of clients without tickets, up to 20,480 of about 1 KB, and Python's ssl
# has no way to tell it not to. A new one has forgotten them.
_RENEW_AFTER = 2_048


@dataclass(frozen=True, slots=True)
class Pem:
    """A PEM document. name: of the setting it is for, with its file if it is in one."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What exporter-toolkit's tls_server_config says. ciphers, curve: Go's names; empty for the defaults."""

    certificate: Pem
    key: Pem
    client_ca: Pem | None = None
    client_auth: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    prefer_server_ciphers: bool = True
    curve: str = ""


class TlsGate:
    """TLS by one set of certificates. Raises UsageError for certificates that cannot be used."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._context = build_context(settings)
        self._n_wrapped = 0
        self._allowed_sans = frozenset(map(_plain, settings.client_allowed_sans))

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """The connection with TLS about to begin; OSError where the client is gone."""
        self._n_wrapped += 1
        if self._n_wrapped % _RENEW_AFTER == 0:
            self._context = build_context(self._settings)
        return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def admit(self, sock: ssl.SSLSocket) -> None:
        """Raise OSError for a client whose certificate carries no allowed name."""
        if not self._allowed_sans:
            return
        certificate: Mapping[str, Any] = sock.getpeercert() or {}
        if self._allowed_sans.isdisjoint(_plain(name) for _, name in certificate.get("subjectAltName", ())):
            raise ConnectionError("no name in the client's certificate is in client_allowed_sans")


def build_context(settings: TlsSettings) -> ssl.SSLContext:
    """What Python's ssl makes of the settings. Raises UsageError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.min_version]
    context.maximum_version = VERSIONS[settings.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    _choose_ciphers(context, settings)
    _load_certificate(context, settings)
    if CLIENT_AUTH[settings.client_auth] is not ssl.CERT_NONE:
        _verify_clients(context, settings)
    return context


def _choose_ciphers(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    chosen = [TLS12_CIPHERS[name] for name in settings.ciphers if name in TLS12_CIPHERS]
    if settings.ciphers and not chosen:
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # nothing was chosen for TLS 1.2
    context.set_ciphers(":".join(chosen) or _DEFAULT_CIPHERS)
    if settings.curve:
        context.set_ecdh_curve(CURVES[settings.curve])


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    certificate, key = settings.certificate, settings.key
    with _as_file(certificate.content) as certificate_path, _as_file(key.content) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, password=_no_password)
        except ssl.SSLError as error:
            raise UsageError(
                f"{certificate.name} and {key.name}: cannot be used: {_reason(error)}; wanted a certificate "
                "with its chain and the key that belongs to it, in PEM"
            ) from None
        except ValueError:
            raise UsageError(
                f"{key.name}: the key is encrypted; decrypt it with openssl pkey -in KEY -out PLAIN"
            ) from None


def _verify_clients(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.client_ca is None:
        raise UsageError(f"{settings.client_auth} needs client_ca_file: who signs the clients' certificates?")
    try:
        context.load_verify_locations(cadata=settings.client_ca.content.decode("ascii", "replace"))
    except ssl.SSLError as error:
        raise UsageError(
            f"{settings.client_ca.name}: cannot be used: {_reason(error)}; wanted CA certificates in PEM"
        ) from None
    context.verify_mode = CLIENT_AUTH[settings.client_auth]
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go does, an intermediate may be the root
    # A resumed session would go on after its certificate has ended.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """The content under a path that only we have: OpenSSL reads keys from files alone."""
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_password() -> str:
    raise ValueError("encrypted")  # OpenSSL would ask on the terminal


def _reason(error: ssl.SSLError) -> str:
    return str(error.reason or error).partition(" (_ssl")[0].replace("_", " ").lower()


def _plain(name: str) -> str:
    """An address in its short form, as Go writes it; anything else as it is."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(name.strip()))
    return name
