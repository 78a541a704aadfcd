"""Which BMC a node has, and who may ask it: Kepler's file, with one key of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from estimator.errors import MeterUnavailable

_MAX_BYTES = 1024 * 1024
_KEYS = ("endpoint", "username", "password", "insecure", "caFile")


@dataclass(frozen=True, slots=True)
class Bmc:
    """One BMC. user, password: "" where it asks for none. ca_file: None for the system's authorities."""

    id: str
    endpoint: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    verify: bool = True
    ca_file: Path | None = None


def read_bmc(path: Path, node: str) -> Bmc:
    """The BMC of a node, from YAML as Kepler's Redfish file has it: `nodes` by name, `bmcs` by id.

    Raises MeterUnavailable with the file, the key and the mend; nothing that the file holds of a user or a
    password is in a message.
    """
    content = _mapping(path, _parsed(path), "the file")
    nodes = _mapping(path, content.get("nodes"), "nodes")
    bmcs = _mapping(path, content.get("bmcs"), "bmcs")
    if node not in nodes:
        raise _wrong(path, f"nodes has no {node}; add it, or say its name there as platform.redfish.nodeName")
    name = str(nodes[node])
    if name not in bmcs:
        raise _wrong(path, f"nodes.{node} names the BMC {name}, which bmcs has not")
    return _bmc(path, name, _mapping(path, bmcs[name], f"bmcs.{name}"))


def _bmc(path: Path, name: str, found: Mapping[str, object]) -> Bmc:
    where = f"bmcs.{name}"
    if unknown := sorted(str(key) for key in found if key not in _KEYS):
        raise _wrong(path, f"{where} has {', '.join(unknown)}; it can have {', '.join(_KEYS)}")
    user, password = (_text(path, found.get(key), f"{where}.{key}") for key in ("username", "password"))
    if bool(user) != bool(password):
        raise _wrong(path, f"{where}.username and {where}.password go together; one of them is missing")
    insecure = found.get("insecure") or False
    if not isinstance(insecure, bool):
        raise _wrong(path, f"{where}.insecure must be true or false")
    ca_file = _text(path, found.get("caFile"), f"{where}.caFile")
    return Bmc(
        id=name,
        endpoint=_endpoint(path, _text(path, found.get("endpoint"), f"{where}.endpoint"), where),
        user=user,
        password=password,
        verify=not insecure,
        ca_file=Path(ca_file) if ca_file else None,
    )


def _endpoint(path: Path, found: str, where: str) -> str:
    """Its scheme and host alone. What else an address can hold may be secret."""
    try:
        parts = urlsplit(found if "://" in found else f"https://{found}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
        _ = parts.port
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.path.strip("/") or not found.isprintable():
        raise _wrong(path, f"{where}.endpoint must be like https://10.0.0.1, without user, path or query")
    return f"{parts.scheme}://{parts.netloc}"


def _parsed(path: Path) -> object:
    import yaml  # costs start-up time: who asks no BMC does without

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise _wrong(path, f"holds more than {_MAX_BYTES} bytes: it is no file of nodes and BMCs")
        return yaml.safe_load(content.decode("utf-8"))
    except OSError as error:
        raise MeterUnavailable(
            f"platform.redfish.configFile {path}: cannot be read: {error.strerror}"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Its text shows the line that is wrong, which may be a password's.
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise _wrong(path, f"not valid YAML{line}") from None


def _mapping(path: Path, found: object, key: str) -> Mapping[str, object]:
    if not isinstance(found, dict) or not found:
        raise _wrong(path, f"{key} must be a mapping that is not empty")
    return found


def _text(path: Path, found: object, where: str) -> str:
    if found is None:
        return ""
    if not isinstance(found, str):
        raise _wrong(path, f"{where} must be text; put it in quotes")
    return found.strip() if not where.endswith("password") else found


def _wrong(path: Path, message: str) -> MeterUnavailable:
    return MeterUnavailable(f"platform.redfish.configFile {path}: {message}")
