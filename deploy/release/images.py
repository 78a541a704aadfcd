"""An image's layers: Debian, our dependencies, podjoule; the last is what changes with each release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.release import debian, pypi
from deploy.release.bytecode import Compiler
from deploy.release.lock import Lock
from deploy.release.sources import Sources
from deploy.release.trees import Tree, below, file, link

HOME = "opt/podjoule"
_SCRIPT = """#!/opt/podjoule/bin/python3
import sys

from exporter.commands.cli import main

sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Image:
    """Of one architecture. layers: the lowest first."""

    architecture: str
    layers: tuple[Tree, ...]


def environment(python_version: str) -> Tree:
    """A virtual environment of the image's Python, with our command."""
    settings = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python_version}\n"
    return {
        f"{HOME}/pyvenv.cfg": file(settings.encode()),
        f"{HOME}/bin/python": link("python3"),
        f"{HOME}/bin/python3": link("/usr/bin/python3"),
        f"{HOME}/bin/podjoule": file(_SCRIPT.encode(), 0o755),
    }


def dependencies(lock: Lock, architecture: str, wheels: Path) -> Tree:
    """What podjoule stands on, unpacked."""
    python, tree = lock.python_version(), environment(lock.python_version())
    for each in lock.python[architecture]:
        tree |= below(HOME, pypi.unpack((wheels / each.file).read_bytes(), python))
    return tree


class Images:
    """Makes them, of a lock whose packages are in a folder."""

    def __init__(self, lock: Lock, inputs: Path, place: Path, here: str) -> None:
        self._lock, self._inputs = lock, inputs
        self._root = {here: debian.unpack(lock.debian[here], inputs)}
        self._compiler = Compiler(self._root[here], lock.python_version(), place)

    def image(self, architecture: str, wheel: bytes) -> Image:
        """With our own wheel of that CPU."""
        root = self._root.get(architecture) or debian.unpack(self._lock.debian[architecture], self._inputs)
        needed = dependencies(self._lock, architecture, self._inputs)
        own = below(HOME, pypi.unpack(wheel, self._lock.python_version()))
        return Image(
            architecture, tuple(each | self._compiler.compiled(each) for each in (root, needed, own))
        )


def configuration(sources: Sources) -> dict[str, object]:
    """What the image runs, and its labels; deploy/Dockerfile says the same of what it builds."""
    return {
        "User": "0",
        "ExposedPorts": {"28283/tcp": {}},
        "Env": [f"PATH=/{HOME}/bin:/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"],
        "Entrypoint": [f"/{HOME}/bin/podjoule"],
        "Cmd": ["run"],
        "Labels": {
            "org.opencontainers.image.title": "podjoule",
            "org.opencontainers.image.description": "Joules per pod, from the Linux kernel to Prometheus",
            "org.opencontainers.image.licenses": "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)",
            "org.opencontainers.image.version": sources.version,
            "org.opencontainers.image.revision": sources.commit,
        },
    }
