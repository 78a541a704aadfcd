"""The keys of exporter-toolkit's web configuration file, and what may stand at each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ebpf.errors import UsageError
from exporter.configuration import schemas
from exporter.configuration.durations import parse_duration
from exporter.configuration.nearest import nearest
from exporter.configuration.options import Option
from exporter.configuration.value_types import ValueType, boolean, choice, integer, texts
from exporter.serving.security.tls import CLIENT_AUTH, CURVES, TLS12_CIPHERS, TLS13_CIPHERS, VERSIONS

T = TypeVar("T")
TLS, HTTP, USERS, RATE = "tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"
UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
_HASH = re.compile(r"\$2[abxy]?\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_PRINTABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class _Secret(Option):
    """An option whose value no message may show."""

    def parse(self, found: object, origin: str) -> object:
        try:
            return self.value_type.parse(found)
        except ValueError as error:
            raise UsageError(f"{origin}: {error}; wanted {self.value_type.allowed}") from None


def _kind(allowed: str, parse: Callable[[object], T], schema: schemas.Schema) -> ValueType[T]:
    return ValueType(allowed, parse, lambda given: given[-1], lambda value: value, schema)


def _ordered(*names: str) -> ValueType[tuple[str, ...]]:
    """Some of the names in the order of preference."""

    def parse(found: object) -> tuple[str, ...]:
        if not isinstance(found, list):
            raise ValueError("this is no list")
        for name in found:
            if name not in names:
                raise ValueError(f"the nearest to {name!r} is {nearest(str(name), names)!r}")
        return tuple(dict.fromkeys(found))

    schema = {"type": ["array", "null"], "items": {"enum": list(names)}}
    return _kind(f"a list of {', '.join(names)}", parse, schema)


def _parse_text(found: object) -> str:
    if not isinstance(found, str):
        raise ValueError("this is no text")
    return found


def _parse_header(found: object) -> str:
    text = _parse_text(found)
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("a line break or another control character")
    return text


def _parse_interval(found: object) -> float:
    return 0.0 if found == 0 and not isinstance(found, bool) else parse_duration(_parse_text(found))


def _parse_users(found: object) -> dict[str, bytes]:
    if not isinstance(found, dict):
        raise ValueError("this is no mapping")
    return {_check_name(name): _check_hash(name, hashed) for name, hashed in found.items()}


def _check_name(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"the name {name!r} is read as something else than text; quote it")
    if not name or ":" in name:
        raise ValueError(f"nobody can log in as {name!r}: a name is not empty and has no colon")
    return name


def _check_hash(name: object, hashed: object) -> bytes:
    if not isinstance(hashed, str) or not _HASH.fullmatch(hashed):
        raise ValueError(f"what stands at {name!r} is no bcrypt hash")
    # Python's bcrypt does not know the first edition's name, which means $2a$ since 1999.
    return (f"$2a{hashed[2:]}" if hashed.startswith("$2$") else hashed).encode()


_ANY_TEXT = {"type": ["string", "null"]}
_USERS = {
    "type": ["object", "null"],
    "propertyNames": {"pattern": "^[^:]+$"},
    # By its length alone: what says that a text has no match of a pattern shows the text.
    "additionalProperties": {"type": "string", "minLength": 59, "maxLength": 60},
}
_TEXT = _kind("a text", _parse_text, _ANY_TEXT)
_INTERVAL = {
    **schemas.text(schemas.DURATION),
    "type": ["string", "number", "null"],
    "minimum": 0,
    "maximum": 0,
}
_HEADER = _kind("a text on one line", _parse_header, schemas.text(f"^{_PRINTABLE.pattern}$"))
_HEADERS: Mapping[str, ValueType[Any]] = {
    "Strict-Transport-Security": _HEADER,
    "X-Content-Type-Options": choice("nosniff", aliases={"": ""}),
    "X-Frame-Options": choice("deny", "sameorigin", aliases={"": ""}),
    "X-XSS-Protection": _HEADER,
    "Content-Security-Policy": _HEADER,
}
HEADER_KEYS = {f"{HTTP}.headers.{name}": name for name in _HEADERS}
_AUTH_TYPES = (*CLIENT_AUTH, *UNVERIFIED)
_SECRET = _kind("a key in PEM", _parse_text, _ANY_TEXT)
_HASHES = _kind("a mapping of names to bcrypt hashes, as from htpasswd -nBC 10 NAME", _parse_users, _USERS)


def _option(key: str, kind: ValueType[Any]) -> Option:
    return Option(key, kind, None, "", "")


OPTIONS: Mapping[str, Option] = {
    option.key: option
    for option in (
        *(_option(f"{TLS}.{key}", _TEXT) for key in ("cert", "client_ca")),
        *(_option(f"{TLS}.{key}", _TEXT) for key in ("cert_file", "key_file", "client_ca_file")),
        _Secret(f"{TLS}.key", _SECRET, None, "", ""),
        _option(f"{TLS}.client_auth_type", choice(*_AUTH_TYPES, aliases={"": "NoClientCert"})),
        _option(f"{TLS}.client_allowed_sans", texts("a list of names")),
        _option(f"{TLS}.min_version", choice(*VERSIONS)),
        _option(f"{TLS}.max_version", choice(*VERSIONS)),
        _option(f"{TLS}.cipher_suites", _ordered(*TLS12_CIPHERS, *TLS13_CIPHERS)),
        _option(f"{TLS}.prefer_server_cipher_suites", boolean()),
        _option(f"{TLS}.curve_preferences", _ordered(*CURVES)),
        _option(f"{HTTP}.http2", boolean()),
        *(_option(key, _HEADERS[name]) for key, name in HEADER_KEYS.items()),
        _Secret(USERS, _HASHES, None, "", ""),
        _option(f"{RATE}.interval", _kind("a duration such as 1s, or 0", _parse_interval, _INTERVAL)),
        _option(f"{RATE}.burst", integer(0, 1_000_000)),
    )
}
