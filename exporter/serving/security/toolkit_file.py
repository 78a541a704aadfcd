"""The file of --web.config.file, in exporter-toolkit's format: TLS, headers, users, a rate.

Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Keys, values and
defaults are its own; what Python's ssl cannot do is refused, or where harmless taken and documented in
docs/web.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebpf.errors import UsageError
from exporter.configuration.file_signature import Signature, signature
from exporter.configuration.yaml_file import read_config_file
from exporter.serving.security.keys import HEADER_KEYS, OPTIONS, RATE, TLS, UNVERIFIED, USERS
from exporter.serving.security.tls import CURVES, Pem, TlsSettings


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: a request each `interval_seconds`, and `burst` at once."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What the file says. tls: None for plain HTTP. headers: sent with every answer.

    users: bcrypt hashes by name. files: every file that was read, as it was just before.
    """

    tls: TlsSettings | None = None
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, bytes] = field(default_factory=dict)
    rate: Rate | None = None
    files: Mapping[Path, Signature] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_web_config(path: Path) -> WebConfig:
    """The file and the certificates that it names.

    Raises UsageError naming file and key, and the line where YAML tells it.
    """
    files = {path: signature(path)}
    values: Mapping[str, Any] = read_config_file(path, OPTIONS)
    pems = _Pems(path, values, files)
    tls = _tls(path, values, pems)
    users: Mapping[str, bytes] = values.get(USERS) or {}
    headers = tuple((name, str(values[key])) for key, name in HEADER_KEYS.items() if values.get(key))
    return WebConfig(tls, headers, users, _rate(path, values), files, _warnings(path, values, tls, users))


class _Pems:
    """The PEM documents, given in the file or beside it."""

    def __init__(self, path: Path, values: Mapping[str, Any], files: dict[Path, Signature]) -> None:
        self._path = path
        self._values = values
        self._files = files

    def read(self, inline: str, file: str) -> Pem | None:
        """One of the two keys, None where neither is set. Raises UsageError for both or no readable file."""
        content, name = (self._values.get(f"{TLS}.{key}") for key in (inline, file))
        if content and name:
            raise UsageError(f"{self._path}: {TLS} has both {inline} and {file}; keep one")
        if content:
            return Pem(f"{self._path}: {TLS}.{inline}", str(content).encode())
        return self._load(file, self._path.parent / str(name)) if name else None

    def _load(self, key: str, file: Path) -> Pem:
        self._files[file] = signature(file)
        try:
            return Pem(f"{self._path}: {TLS}.{key} {file}", file.read_bytes())
        except OSError as error:
            raise UsageError(f"{self._path}: {TLS}.{key}: {file} cannot be read: {error.strerror}") from None


def _tls(path: Path, values: Mapping[str, Any], pems: _Pems) -> TlsSettings | None:
    told = {key.removeprefix(f"{TLS}."): value for key, value in values.items() if key.startswith(f"{TLS}.")}
    certificate, key = pems.read("cert", "cert_file"), pems.read("key", "key_file")
    client_ca = pems.read("client_ca", "client_ca_file")
    if not told:
        return None
    if certificate is None or key is None:
        missing = "cert_file (or cert)" if certificate is None else "key_file (or key)"
        raise UsageError(f"{path}: {TLS}: {missing} is missing")
    client_auth = told.get("client_auth_type", "NoClientCert")
    _check_clients(path, client_ca, client_auth, bool(told.get("client_allowed_sans")))
    settings = TlsSettings(
        certificate,
        key,
        client_ca,
        client_auth,
        client_allowed_sans=told.get("client_allowed_sans", ()),
        min_version=told.get("min_version", "TLS12"),
        max_version=told.get("max_version", "TLS13"),
        ciphers=told.get("cipher_suites", ()),
        prefer_server_ciphers=told.get("prefer_server_cipher_suites", True),
        curve=_curve(told.get("curve_preferences", ())),
    )
    if settings.min_version > settings.max_version:
        raise UsageError(f"{path}: {TLS}.min_version is above max_version: nobody could connect")
    return settings


def _curve(preferred: tuple[str, ...]) -> str:
    """The one that Python's ssl can be told; empty for OpenSSL's own list, which holds each of them."""
    return preferred[0] if len(preferred) == 1 and CURVES[preferred[0]] else ""


def _check_clients(path: Path, client_ca: Pem | None, client_auth: str, has_sans: bool) -> None:
    if client_auth in UNVERIFIED:
        raise UsageError(
            f"{path}: {TLS}.client_auth_type: {client_auth} would take any certificate, which anybody can "
            "make; use RequireAndVerifyClientCert with client_ca_file"
        )
    if client_ca and client_auth == "NoClientCert":
        raise UsageError(
            f"{path}: {TLS}.client_ca_file has no effect without client_auth_type; "
            "add client_auth_type: RequireAndVerifyClientCert"
        )
    if not client_ca and client_auth in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert"):
        raise UsageError(f"{path}: {TLS}.client_auth_type: {client_auth} needs client_ca_file")
    if has_sans and client_auth != "RequireAndVerifyClientCert":
        raise UsageError(
            f"{path}: {TLS}.client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert"
        )


def _rate(path: Path, values: Mapping[str, Any]) -> Rate | None:
    interval, burst = values.get(f"{RATE}.interval") or 0.0, values.get(f"{RATE}.burst") or 0
    if not isinstance(interval, float) or not interval:
        return None
    if not isinstance(burst, int) or burst < 1:
        raise UsageError(f"{path}: {RATE}.burst must be at least 1, else no request would ever pass")
    return Rate(interval, burst)


def _warnings(
    path: Path, values: Mapping[str, Any], tls: TlsSettings | None, users: Mapping[str, bytes]
) -> tuple[str, ...]:
    curves: Any = values.get(f"{TLS}.curve_preferences") or ()
    found = {
        f"{path}: {USERS} without {TLS}: passwords cross the network as they are": bool(users) and not tls,
        f"{path}: {TLS}.curve_preferences has no effect: Python's ssl takes one of P256, P384 and P521": (
            tls is not None and bool(curves) and not tls.curve
        ),
    }
    return tuple(message for message, holds in found.items() if holds)
