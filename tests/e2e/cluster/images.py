"""Images without a registry: our own archives, and what buildah builds."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.cluster import containers
from tests.e2e.cluster.place import ROOT, ClusterError, Place
from tests.e2e.cluster.settings import PAUSE_IMAGE
from tests.programs import program

BASE = "localhost/debian:bookworm-slim"
BUSYBOX_IMAGE = "localhost/busybox:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def load_own(place: Place) -> None:
    """The sandbox's image, and one with sh, nc, wget and the like for the load in pods."""
    busybox = Path(program("busybox")).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        pause, shell = Path(folder) / "pause.tar", Path(folder) / "busybox.tar"
        write_archive(pause, PAUSE_IMAGE, "/pause", {"pause": (place.binaries / "pause").read_bytes()})
        write_archive(shell, BUSYBOX_IMAGE, "/bin/busybox", {"bin/busybox": busybox, "bin/sh": busybox})
        load(place, pause, shell)


def load(place: Place, *archives: Path) -> None:
    """Bring archives (docker-archive, OCI) to the node."""
    for archive in archives:
        containers.ctr(place, "images", "import", str(archive))


def write_archive(path: Path, tag: str, entrypoint: str, files: Mapping[str, bytes]) -> None:
    """A docker-archive of one layer. files: content by path in the image."""
    layer = _tar(files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": [entrypoint], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": [f"{digest}/layer.tar"]}]
    parts = {name: config, f"{digest}/layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar(parts))


def build(place: Place, name: str, target: str = "podjoule") -> None:
    """Build a target of deploy/Dockerfile as deploy/image does, and bring it to the node under this name.

    Layers that are there already are not made anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        command = (str(ROOT / "deploy/image"), target, name, str(archive))
        _run(*command, environment={**os.environ, **_base()})
        load(place, archive)


def _base() -> dict[str, str]:
    """buildah builds on a Debian made here; docker, which deploy/image prefers, has a registry to ask."""
    if shutil.which("docker") and _run("docker", "info", check=False).returncode == 0:
        return {}
    if _run(program("buildah"), "images", "--quiet", BASE, check=False).returncode:
        make_base()
    return {"BASE": BASE}


def make_base(name: str = BASE) -> None:
    """A Debian to build on, in buildah's storage."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "base.tar"
        _run(program("mmdebstrap"), "--quiet", "--variant=minbase", "bookworm", str(archive))
        container = _run(program("buildah"), "from", "scratch").stdout.strip()
        try:
            _run(program("buildah"), "add", "--quiet", container, str(archive), "/")
            _run(program("buildah"), "commit", "--quiet", container, name)
        finally:
            _run(program("buildah"), "rm", container)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _run(
    *command: str, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if check and done.returncode:
        raise ClusterError(_failure(command, done.stdout + done.stderr))
    return done


def _failure(command: Sequence[str], words: str) -> str:
    last = "\n".join(words.strip().splitlines()[-20:])
    return f"{' '.join(command)} failed:\n{last}"
