"""What Python compiles, compiled beforehand: an image's root is read-only, and each start would do it anew.

The image's own Python does it, of the CPU of this machine; bytecode knows no CPU.
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

from deploy.release.errors import ReleaseError
from deploy.release.programs import run
from deploy.release.pypi import MACHINES
from deploy.release.trees import Tree, file, pick, write_files


def architecture() -> str:
    """Of this machine. Raises ReleaseError for one whose image's Python cannot run here."""
    found = [name for name, machine in MACHINES.items() if machine == platform.machine()]
    if not found:
        raise ReleaseError(f"a release is made on {' or '.join(MACHINES.values())}, not {platform.machine()}")
    return found[0]


class Compiler:
    """The Python of a root of this machine's CPU, laid down in a folder.

    What has the same path and bytes in two images is compiled once.
    """

    def __init__(self, root: Tree, python: str, place: Path) -> None:
        self._root, self._python, self._known = place / "root", python, dict[str, tuple[bytes, bytes]]()
        write_files(pick(root, lambda path: path.startswith("usr/")), self._root)

    def compiled(self, tree: Tree) -> Tree:
        """Bytecode of the Python files of a tree, for their __pycache__."""
        sources = pick(tree, lambda path: path.endswith(".py"))
        new = {path: each for path, each in sources.items() if self._data(path) != each.data}
        self._compile(new)
        return {self._place(path): file(self._known[path][1]) for path in sources if self._known[path][1]}

    def _data(self, path: str) -> bytes | None:
        return self._known.get(path, (None, b""))[0]

    def _place(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        version = self._python.replace(".", "")
        return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-{version}.pyc"

    def _compile(self, sources: Tree) -> None:
        with tempfile.TemporaryDirectory() as place:
            write_files(sources, Path(place))
            self._run(
                *("-m", "compileall", "-qq", "--invalidation-mode=unchecked-hash"),
                *("-s", place, "-p", "/", *sorted({f"{place}/{path.split('/')[0]}" for path in sources})),
            )
            for path, entry in sources.items():
                made = Path(place) / self._place(path)  # none of what is no Python, such as a template
                self._known[path] = (entry.data, made.read_bytes() if made.exists() else b"")

    def _run(self, *arguments: str) -> None:
        """As a program of the root's own C library; sets are ordered the same each time."""
        libraries = sorted(self._root.glob("usr/lib/*-linux-gnu"))
        loader = next(self._root.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*"))
        program = self._root / f"usr/bin/python{self._python}"
        variables = {"PYTHONHOME": str(self._root / "usr"), "PYTHONHASHSEED": "0", "PYTHONPATH": ""}
        path = ":".join(map(str, libraries))
        run(loader, "--library-path", path, program, "-s", *arguments, variables=variables)
