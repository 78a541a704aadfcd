"""Python distributions of an image, of any CPU: resolved and fetched by pip as wheels, and unpacked."""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from deploy.left_out import DISTRIBUTIONS, is_left_out, name_of
from deploy.release.errors import ReleaseError
from deploy.release.lock import Pinned, missing, pin
from deploy.release.programs import run
from deploy.release.trees import Tree, file

EXTRAS = ("otlp", "gpu", "fast")
"""Of pyproject.toml, which the image has beside what `run` always needs."""

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC = 36  # Debian 12's: wheels of earlier ones run there
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download")


def _platform(architecture: str, python: str) -> list[str]:
    """pip's options for the wheels that the image's Python takes."""
    machine = MACHINES[architecture]
    tags = [*(f"manylinux_2_{minor}_{machine}" for minor in range(_GLIBC, 4, -1)), f"manylinux2014_{machine}"]
    return [
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
        *(f"--platform={tag}" for tag in tags),
    ]


def resolve(wanted: Sequence[str], architecture: str, python: str, folder: Path) -> tuple[Pinned, ...]:
    """The newest that fit together, fetched to a folder; without what the image leaves out."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run(*_PIP, *_platform(architecture, python), f"--dest={place}", *wanted)
        found = []
        for wheel in sorted(Path(place).iterdir()):
            name, version, *_ = wheel.name.split("-")
            if name_of(name) not in DISTRIBUTIONS:
                found.append(pin(wheel.rename(folder / wheel.name), name_of(name), version))
    return tuple(found)


def fetch(pinned: Sequence[Pinned], architecture: str, python: str, folder: Path) -> None:
    """Have what a lock names in the folder. Raises ReleaseError for what is not to be had as it was."""
    if not (absent := missing(folder, pinned)):
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as asked:
        asked.writelines(f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in absent)
        asked.flush()
        options = ("--no-deps", "--require-hashes", f"--dest={folder}", f"--requirement={asked.name}")
        run(*_PIP, *_platform(architecture, python), *options)
    if absent := missing(folder, pinned):
        raise ReleaseError(f"pip gave another file than {absent[0].file}, which the lock names")


def unpack(wheel: bytes, python: str) -> Tree:
    """What a wheel installs in a virtual environment, without its scripts: nobody calls those."""
    site = f"lib/python{python}/site-packages"
    found: Tree = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for info in archive.infolist():
            path = _installed(info.filename)
            if path and not info.is_dir() and not is_left_out(path):
                mode = 0o755 if info.external_attr >> 16 & 0o100 else 0o644
                found[f"{site}/{path}"] = file(archive.read(info), mode)
    return found


def _installed(name: str) -> str:
    """Where a file of a wheel goes in site-packages; nowhere if it is a script or data."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return name
    kind, _, below = rest.partition("/")
    return below if kind in ("purelib", "platlib") else ""
