"""The last good calibration on disk: what is in force, by path, so that a restart does not begin anew."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from estimator.calibration.place import Anchor, Fit
from estimator.errors import ModelInvalid
from estimator.features import LEARNED
from estimator.model.document import Field, read_document
from estimator.model.file import content_hash
from estimator.model.whole_file import OF_ANOTHER, refuse, write_whole

log = logging.getLogger(__name__)

# The first had no anchors, but the least power of half a day, which bounded what idling draws.
_ANY = "podjoule.calibration/"
SCHEMA, _BEFORE = f"{_ANY}2", f"{_ANY}1"

# 64 zones take some 30 kB: whatever is larger was not written by us.
_MOST_BYTES = 1_000_000


def to_document(fits: Mapping[str, Fit], machine: str) -> dict[str, Any]:
    """The fits, by path, as JSON has them, with a hash over the rest.

    machine: what the fits hold for (CPU and number of CPUs): on another one they are refused.
    """
    body = {"schema": SCHEMA, "machine": machine, "zones": {path: _zone(fit) for path, fit in fits.items()}}
    return {**body, "sha256": content_hash(body)}


def from_document(file: str, text: str, machine: str) -> dict[str, Fit]:
    """The fits by path. Raises ModelInvalid, naming file and field, for whatever must not be used."""
    document = read_document(file, text)
    found = document["schema"].value
    if isinstance(found, str) and found.startswith(_ANY) and found not in (SCHEMA, _BEFORE):
        raise ModelInvalid(f"{file}: field schema: found {found}, this podjoule reads {SCHEMA}: {OF_ANOTHER}")
    if found not in (SCHEMA, _BEFORE):
        document["schema"].refuse(SCHEMA)
    document.require_finite()
    expected = content_hash(document.mapping())
    if document["sha256"].text() != expected:
        document["sha256"].refuse(f"{expected}, the hash of the rest")
    if document["machine"].value != machine:
        document["machine"].refuse(f"this machine, {machine}")
    return {path: _fit(zone) for path, zone in document["zones"].items()}


def save_state(path: Path, fits: Mapping[str, Fit], machine: str) -> None:
    """Write the file so that it is always whole, also after the power failed.

    Raises OSError where that cannot be done; the old file stays.
    """
    text = json.dumps(to_document(fits, machine), allow_nan=False, indent=1)
    write_whole(path, lambda file: file.write(text.encode()))


def load_state(path: Path, machine: str) -> dict[str, Fit]:
    """The fits by path; none where there is no file.

    A file that is damaged, foreign or of a later version is named in the log and set aside as *.refused.
    """
    try:
        return from_document(str(path), _read(path), machine)
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.error("calibration begins anew: %s cannot be read: %s", path, error.strerror)
    except ModelInvalid as error:
        log.error("calibration begins anew: %s", error)
        refuse(path, log)
    return {}


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ModelInvalid(f"calibration {path}: wanted at most {_MOST_BYTES} bytes, found more; remove it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelInvalid(f"calibration {path}: wanted UTF-8, found {error}; remove it") from error


def _zone(fit: Fit) -> dict[str, Any]:
    body = {"idle_watts": fit.idle_watts, "coefficients": dict(fit.coefficients)}
    return body if fit.anchor is None else {**body, "anchor": asdict(fit.anchor)}


def _fit(zone: Field) -> Fit:
    coefficients = {name: field.number() for name, field in zone["coefficients"].items()}
    if not coefficients.keys() <= LEARNED.keys():
        zone["coefficients"].refuse(f"features among {', '.join(LEARNED)}")
    anchor = _anchor(zone["anchor"]) if "anchor" in zone.mapping() else None
    return Fit(zone["idle_watts"].number(), coefficients, anchor)


def _anchor(anchor: Field) -> Anchor:
    return Anchor(*(anchor[name].number() for name in ("watts", "error_watts", "age_seconds")))
