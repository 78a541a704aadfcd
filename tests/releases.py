"""The release of this checkout, made once for all tests that look at it, and kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.dependencies import dependencies
from deploy.release import debian, pypi
from deploy.release.lock import ARCHITECTURES
from ebpf.directory_lock import lock_directory
from tests.programs import program

ROOT = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 900
_KEPT = 2
NEEDED = ("apt-get", "clang", "dpkg-deb", "git", "llvm-strip", "make")


def cache() -> Path:
    """Where downloads and the release are kept between runs."""
    return Path(os.environ.get("RELEASE_DIR") or Path.home() / ".cache/podjoule/release")


def make(out: Path, root: Path = ROOT, **environment: str) -> None:
    """Make one from the lock of these dependencies, which is resolved the first time. Raises AssertionError.

    Without packages: they are made, and tried, by tests of their own.
    """
    for name in NEEDED:
        program(name)
    lock = cache() / f"lock-{_dependencies()}.json"
    command = [sys.executable, "-m", "deploy.release", "--no-packages", f"--out={out}", f"--inputs={cache()}"]
    done = subprocess.run(
        [*command, *([f"--lock={lock}"] if lock.exists() else [])],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if not lock.exists():
        shutil.copy(out / "lock.json", lock)


def released() -> Path:
    """The folder of this checkout's release. Tests side by side ask for it at the same time."""
    place = cache() / "made"
    place.mkdir(parents=True, exist_ok=True)
    held = lock_directory(place, LONGEST_SECONDS)
    try:
        found = place / _checkout()
        if not found.exists():
            for old in sorted(place.iterdir(), key=lambda each: each.stat().st_mtime)[:-_KEPT]:
                shutil.rmtree(old)
            make(place / "unfinished")
            (place / "unfinished").rename(found)
        return found
    finally:
        if held is not None:
            os.close(held)


def tracked(root: Path = ROOT) -> list[str]:
    """The files of the checkout that are there."""
    names = subprocess.run(
        [program("git"), "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    return sorted(name for name in names.stdout.split("\0") if name and (root / name).is_file())


def _dependencies() -> str:
    wanted = [debian.SUITE, *debian.WANTED, *dependencies(ROOT / "pyproject.toml", *pypi.EXTRAS)]
    return hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]


def _checkout() -> str:
    told = subprocess.run(
        [program("git"), "log", "-1", "--format=%H"], cwd=ROOT, capture_output=True, check=True
    )
    hashed = hashlib.sha256(told.stdout + _dependencies().encode())
    for name in tracked():
        if not name.startswith(("tests/", "notebooks/", "docs/")):  # nothing of these is in it
            hashed.update(name.encode() + (ROOT / name).read_bytes())
    return hashed.hexdigest()[:16]


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    """What a descriptor of a layout names."""
    return (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()


def document(layout: Path, descriptor: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON."""
    found: dict[str, Any] = json.loads(blob(layout, descriptor))
    return found


def manifests(release: Path) -> dict[str, dict[str, Any]]:
    """The image's manifest by architecture."""
    layout = release / "image"
    (named,) = json.loads((layout / "index.json").read_text())["manifests"]
    images = document(layout, named)["manifests"]
    return {each["platform"]["architecture"]: document(layout, each) for each in images}


def layers(release: Path, architecture: str) -> Iterator[tarfile.TarFile]:
    """The image's archives, the lowest first."""
    for layer in manifests(release)[architecture]["layers"]:
        path = release / "image/blobs" / layer["digest"].replace(":", "/")
        with tarfile.open(path) as archive:
            yield archive


def lay_down(architecture: str, folder: Path) -> None:
    """The root that a container of the image has; needs root."""
    assert architecture in ARCHITECTURES
    for archive in layers(released(), architecture):
        archive.extractall(folder, filter="fully_trusted")
