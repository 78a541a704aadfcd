"""How a release was made, as an in-toto statement with SLSA's predicate: of what, from what, by what.

Formats: https://in-toto.io/Statement/v1 and https://slsa.dev/spec/v1.0/provenance. It is not signed here, and
has no times, since two builds are to be the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from deploy.release.lock import Lock, Pinned
from deploy.release.sources import Sources

BUILD_TYPE = "urn:podjoule:make-release:1"
"""`make release`, whose parameters are the architectures and the lock."""


def statement(subjects: Mapping[str, str], sources: Sources, lock: Lock, builder: str) -> str:
    """As JSON. subjects: file -> sha256. builder: a URI of who ran it; an unsigned one is a claim alone."""
    commit = sources.commit + ("+changes" if sources.changed else "")
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"commit": commit, "version": sources.version},
            "internalParameters": {"sourceDateEpoch": sources.epoch, "tools": lock.tools},
            "resolvedDependencies": [
                {"uri": "git+urn:podjoule", "digest": {"gitCommit": sources.commit}},
                *_materials(lock),
            ],
        },
        "runDetails": {"builder": {"id": builder}},
    }
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha}} for name, sha in sorted(subjects.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": predicate,
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _materials(lock: Lock) -> Iterable[dict[str, Any]]:
    """Each package once, though both architectures may have it."""
    found: dict[str, Pinned] = {}
    for rows in lock.debian.values():
        found |= {
            f"pkg:deb/debian/{quote(each.name)}@{quote(each.version)}#{each.file}": each for each in rows
        }
    for rows in lock.python.values():
        found |= {f"pkg:pypi/{each.name}@{quote(each.version)}#{each.file}": each for each in rows}
    for uri, each in sorted(found.items()):
        yield {"uri": uri.split("#")[0], "name": each.file, "digest": {"sha256": each.sha256}}
