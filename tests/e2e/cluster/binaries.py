"""Kubernetes' own programs, Prometheus, and what is used with them, compiled with Go."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.e2e.cluster.place import SOURCES, ClusterError, Place
from tests.programs import program

PROMETHEUS = "github.com/prometheus/prometheus/cmd/prometheus"
# Programs that are compiled as their own modules say.
INSTALLED = (
    "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "github.com/prometheus-community/prom-label-proxy@v0.11.1",
)
_MODULE = "k8s.io/kubernetes"
_VERSION = "k8s.io/component-base/version"
_STAMP = "built-from"
LACKING = "needs the cluster's programs: make cluster-binaries compiles them, with Go and some minutes"
"""Why a test is left out that needs what `build` makes."""


def are_current(place: Place) -> bool:
    """Whether what is there was built from the sources as they are now."""
    stamp = place.binaries / _STAMP
    return stamp.exists() and stamp.read_text() == _key()


def build(place: Place) -> None:
    """Compile what is not current: minutes with a cold Go build cache, seconds with a warm one.

    GOFLAGS, GOPROXY and the like are Go's own business. Raises ClusterError where Go cannot.
    """
    if are_current(place):
        return
    place.binaries.mkdir(parents=True, exist_ok=True)
    (place.binaries / _STAMP).unlink(missing_ok=True)
    # Without VCS stamps, so that a commit is no reason to link anew.
    common = ("build", "-buildvcs=false", "-o", f"{place.binaries}/")
    _go(*common, "-ldflags", _link_flags(), *_commands())
    _go(*common, "-ldflags", "-s -w", "./cmd/pause", CGO_ENABLED="0")
    discoveries = "-tags=remove_all_sd,enable_kubernetes_sd"
    _go(*common, "-ldflags", "-s -w", discoveries, PROMETHEUS, folder=SOURCES / "prometheus")
    for module in INSTALLED:
        _go("install", module, GOBIN=str(place.binaries))
    (place.binaries / _STAMP).write_text(_key())


def kubernetes_version() -> str:
    """As go.mod asks for it: v1.34.4."""
    lines = (SOURCES / "go.mod").read_text().splitlines()
    return next(line.split()[-1] for line in lines if line.startswith(f"require {_MODULE} "))


def _commands() -> list[str]:
    return [f"./cmd/{path.name}" for path in sorted((SOURCES / "cmd").iterdir()) if path.name != "pause"]


def _link_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {_VERSION}.{name}={value}" for name, value in told.items())])


def _key() -> str:
    digest = hashlib.sha256()
    for path in _source_files():
        digest.update(f"{path.relative_to(SOURCES)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source_files() -> list[Path]:
    return [Path(__file__), *sorted(SOURCES.glob("**/go.*")), *sorted(SOURCES.glob("cmd/**/*.go"))]


def _go(*arguments: str, folder: Path = SOURCES, **environment: str) -> None:
    # A Go of 1.21 or later fetches the one that a module asks for.
    command = [program("go"), *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "GOTOOLCHAIN": "auto", **environment})
    if done.returncode:
        raise ClusterError(f"go {' '.join(arguments)} failed: its own words are above")
