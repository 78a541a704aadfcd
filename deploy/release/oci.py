"""An OCI image layout on disk: blobs by their hash, and an index that names what is there.

Format: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.release.trees import Tree, gzipped, write_tar

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_NAME = "org.opencontainers.image.ref.name"

Descriptor = dict[str, Any]


class Layout:
    """A layout that is being written below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}\n')

    def add(self, media_type: str, data: bytes) -> Descriptor:
        """Store bytes; what names them."""
        digest = hashlib.sha256(data).hexdigest()
        (self._folder / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def add_document(self, media_type: str, document: object) -> Descriptor:
        """Store JSON."""
        return self.add(media_type, as_json(document))

    def add_image(self, layers: Sequence[Tree], architecture: str, config: object, epoch: int) -> Descriptor:
        """Store an image of one architecture; its manifest."""
        archives = [write_tar(layer, epoch) for layer in layers]
        created = datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
        document = {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": config,
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in archives],
            },
            "history": [{"created": created, "created_by": "deploy/release"} for _ in archives],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add_document(_CONFIG, document),
            "layers": [self.add(_LAYER, gzipped(each)) for each in archives],
        }
        platform = {"architecture": architecture, "os": "linux"}
        return {**self.add_document(MANIFEST, manifest), "platform": platform}

    def add_index(self, images: Sequence[Descriptor], annotations: dict[str, str]) -> Descriptor:
        """Store one index of images of several architectures."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images, "annotations": annotations}
        return self.add_document(INDEX, index)

    def close(self, named: dict[str, Descriptor]) -> None:
        """Write which tags there are."""
        manifests = [{**what, "annotations": {_NAME: name}} for name, what in named.items()]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        (self._folder / "index.json").write_bytes(as_json(index))


def as_json(document: object) -> bytes:
    """The same bytes for the same document."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
