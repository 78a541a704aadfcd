"""What is in an image, as CycloneDX 1.6: Debian's packages, Python's distributions, podjoule itself.

Taken from the image's own files, as a scanner reads them. Format: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from deploy.left_out import name_of
from deploy.release.debian import STATUS
from deploy.release.images import Image
from deploy.release.lock import Lock, Pinned
from deploy.release.sources import Sources

Component = dict[str, Any]
_NAMESPACE = uuid.UUID("7d1b7a4e-6e0c-5a53-9a59-2f5e6f0a8a51")  # drawn once, for the numbers of our bills
_IDENTIFIER = re.compile(r"[A-Za-z0-9.+-]+")


def bill(image: Image, manifest: str, lock: Lock, sources: Sources) -> str:
    """The bill of materials of an image, as JSON. manifest: the digest by which the image is named."""
    debian = {each.name: each for each in lock.debian[image.architecture]}
    python = {each.name: each for each in lock.python[image.architecture]}
    components = sorted(
        [*_debian(image, debian, lock.suite), *_python(image, python)], key=lambda each: str(each["bom-ref"])
    )
    about = _about(image, manifest, sources)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, manifest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(sources.epoch, UTC).isoformat(),
            "lifecycles": [{"phase": "build"}],
            "component": about,
        },
        "components": components,
        "dependencies": [
            {"ref": about["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]},
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _about(image: Image, manifest: str, sources: Sources) -> Component:
    where = f"pkg:oci/podjoule@{quote(manifest, safe='')}?arch={image.architecture}&tag={sources.version}"
    return {
        "type": "container",
        "name": "podjoule",
        "version": sources.version,
        "purl": where,
        "bom-ref": where,
        "hashes": [{"alg": "SHA-256", "content": manifest.removeprefix("sha256:")}],
    }


def _debian(image: Image, pinned: dict[str, Pinned], suite: str) -> list[Component]:
    found = []
    for path, each in image.layers[0].items():
        if path.startswith(f"{STATUS}/"):
            fields = HeaderParser().parsestr(each.data.decode())
            name, version, architecture = (fields[key] for key in ("Package", "Version", "Architecture"))
            purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}&distro={suite}"
            found.append(_library(name, version, purl, pinned.get(name)))
    return found


def _python(image: Image, pinned: dict[str, Pinned]) -> list[Component]:
    found = []
    for layer in image.layers:
        for path, each in layer.items():
            if PurePath(path).match("*.dist-info/METADATA"):
                fields = HeaderParser().parsestr(each.data.decode(errors="replace"))
                name, version = name_of(fields["Name"]), fields["Version"]
                purl = f"pkg:pypi/{name}@{quote(version)}"
                licences = _licences(fields.get("License-Expression"), fields.get("License"))
                found.append({**_library(name, version, purl, pinned.get(name)), **licences})
    return found


def _library(name: str, version: str, purl: str, pinned: Pinned | None) -> Component:
    hashes = [{"alg": "SHA-256", "content": pinned.sha256}] if pinned else []
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
        "bom-ref": purl,
        **({"hashes": hashes} if hashes else {}),
    }


def _licences(expression: str | None, name: str | None) -> Component:
    """As a distribution tells it; a whole text instead of a name is nobody's name."""
    if expression:
        return {"licenses": [{"expression": expression}]}
    if name and _IDENTIFIER.fullmatch(name):
        return {"licenses": [{"license": {"name": name}}]}
    return {}
