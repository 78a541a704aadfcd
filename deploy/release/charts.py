"""The Helm chart: an archive as `helm package` makes it, and that as an OCI artifact for `helm pull oci://`.

Media types: https://helm.sh/docs/topics/registries/
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from deploy.release.oci import MANIFEST, Layout
from deploy.release.sources import Sources
from deploy.release.trees import below, gzipped, read_folder, write_tar

_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_ARTIFACT_HUB = "application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml"
_NO_CONFIG = "application/vnd.cncf.artifacthub.config.v1+yaml"
HUB_TAG = "artifacthub.io"
"""Where Artifact Hub looks for whose repository it is."""


def metadata(chart: Path) -> dict[str, Any]:
    """Chart.yaml."""
    found: dict[str, Any] = yaml.safe_load((chart / "Chart.yaml").read_text())
    return found


def publish_as(sources: Sources, url: str, repository: str) -> None:
    """Write into the chart where its sources and its image are to be found; what is empty stays as it is."""
    about, values = (sources.folder / "deploy/chart" / name for name in ("Chart.yaml", "values.yaml"))
    if url:
        links = f"  artifacthub.io/links: |\n    - name: source\n      url: {url}\n"
        about.write_text(f"{about.read_text()}{links}home: {url}\nsources: [{url}]\n")
    if repository:
        about.write_text(about.read_text().replace("      image: podjoule:", f"      image: {repository}:"))
        values.write_text(
            values.read_text().replace("  repository: podjoule\n", f"  repository: {repository}\n")
        )


def archive(sources: Sources) -> bytes:
    """The chart as a .tgz, without what .helmignore names."""
    tree = read_folder(sources.folder / "deploy/chart")
    ignored = [".helmignore", *_patterns(tree[".helmignore"].data.decode())]
    taken = {path: each for path, each in tree.items() if not _matches(path, ignored)}
    return gzipped(write_tar(below("podjoule", taken), sources.epoch))


def _patterns(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _matches(path: str, patterns: list[str]) -> bool:
    """A pattern names a file or a folder at any depth, as those without a slash do."""
    return any(fnmatch(part, pattern) for part in path.split("/") for pattern in patterns)


def write_layout(sources: Sources, packed: bytes, layout: Layout) -> None:
    """The same as an artifact, under its version; Artifact Hub's file beside it."""
    deploy = sources.folder / "deploy"
    about = metadata(deploy / "chart")
    chart = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add_document(_CONFIG, about),
        "layers": [layout.add(_CONTENT, packed)],
        "annotations": {
            "org.opencontainers.image.title": about["name"],
            "org.opencontainers.image.description": about["description"],
            "org.opencontainers.image.version": about["version"],
        },
    }
    hub = layout.add(_ARTIFACT_HUB, (deploy / "artifacthub-repo.yml").read_bytes())
    hub["annotations"] = {"org.opencontainers.image.title": "artifacthub-repo.yml"}
    repository = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add(_NO_CONFIG, b""),
        "layers": [hub],
    }
    layout.close(
        {
            about["version"]: layout.add_document(MANIFEST, chart),
            HUB_TAG: layout.add_document(MANIFEST, repository),
        }
    )
