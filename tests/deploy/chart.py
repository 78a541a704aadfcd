"""The chart as helm renders it, and what a rendered chart consists of."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster.binaries import LACKING

Document = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
PLATFORMS = sorted((CHART / "platforms").glob("*.yaml"))
VALUES = [*sorted((Path(__file__).parent / "values").glob("*.yaml")), *PLATFORMS]
# A helm that was built from source without a version renders for Kubernetes 1.20 unless told.
KUBE_VERSION = "1.34.0"
RELEASE, NAMESPACE = "podjoule", "podjoule"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast


class Refused(Exception):
    """Helm would not render; the message is helm's."""


@functools.cache
def helm() -> str:
    """Where helm is: the cluster kit's, else the machine's; skips where there is none."""
    kit = os.environ.get("CLUSTER_BIN") or str(ROOT / ".cluster/bin")
    found = shutil.which("helm", path=f"{kit}:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(LACKING)
    return found


def run(*arguments: str) -> str:
    """What helm prints. Raises Refused."""
    done = subprocess.run([helm(), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


@dataclass(frozen=True)
class Rendered:
    """The objects of one rendering."""

    text: str
    objects: tuple[Document, ...]

    def of_kind(self, kind: str) -> list[Document]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str) -> Document:
        found = self.of_kind(kind)
        assert len(found) == 1, f"{len(found)} of {kind}"
        return found[0]

    @property
    def pod(self) -> Document:
        """The pod's spec."""
        spec: Document = self.one("DaemonSet")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Document:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def configuration(self) -> str:
        """The configuration file that the exporter reads."""
        (file,) = (
            found["data"]["config.yaml"]
            for found in self.of_kind("ConfigMap")
            if "config.yaml" in found["data"]
        )
        return str(file)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with a value of their own."""
        return {entry["name"]: entry["value"] for entry in self.container["env"] if "value" in entry}

    @property
    def mounts(self) -> dict[str, Document]:
        """By the volume's name."""
        return {mount["name"]: mount for mount in self.container["volumeMounts"]}

    @property
    def volumes(self) -> dict[str, Document]:
        return {volume["name"]: volume for volume in self.pod["volumes"]}


@functools.cache
def render(values: Path, kube_version: str = KUBE_VERSION) -> Rendered:
    """The chart with a file of values."""
    return _rendered("--values", str(values), "--kube-version", kube_version)


def render_with(values: Mapping[str, Any]) -> Rendered:
    """The chart with these values."""
    told = [part for key, value in values.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]
    return _rendered(*told, "--kube-version", KUBE_VERSION)


def _rendered(*arguments: str) -> Rendered:
    text = run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *arguments)
    return Rendered(text, tuple(found for found in yaml.load_all(text, _LOADER) if found))


def values_of(path: Path) -> Document:
    """The chart's defaults with a file of values over them."""
    return _merged(_loaded(CHART / "values.yaml"), _loaded(path))


@functools.cache
def _loaded(path: Path) -> Document:
    return dict(yaml.load(path.read_text(), _LOADER))


def _merged(below: Document, above: Document) -> Document:
    both = {key: (below[key], value) for key, value in above.items() if key in below}
    merged = {
        key: _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
        for key, (old, new) in both.items()
    }
    return {**below, **above, **merged}
