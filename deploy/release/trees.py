"""A tree of files in memory, read from packages and written as an archive that is the same each time."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.release.errors import ReleaseError

# Where a distribution has one tree below /usr, packages may still name the old places.
_MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a folder or a symbolic link. kind: tarfile's type. mode: permission bits. target: a link's."""

    kind: bytes
    mode: int
    data: bytes = b""
    target: str = ""
    gid: int = 0


Tree = dict[str, Entry]
"""By path, without a slash before it."""


def file(data: bytes, mode: int = 0o644) -> Entry:
    """A file of root's."""
    return Entry(tarfile.REGTYPE, mode, data)


def link(target: str) -> Entry:
    """A symbolic link."""
    return Entry(tarfile.SYMTYPE, 0o777, target=target)


def folder() -> Entry:
    """A folder that all may read."""
    return Entry(tarfile.DIRTYPE, 0o755)


def merged_usr() -> Tree:
    """The links to /usr that make one tree of two."""
    return {name: link(f"usr/{name}") for name in _MERGED} | {f"usr/{name}": folder() for name in _MERGED}


def read_tar(data: bytes, wanted: Callable[[str], bool]) -> Tree:
    """The wanted paths of a package's archive; a hard link becomes a file of its own."""
    found: Tree = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = _below_usr(member.name)
            if path and wanted(path) and path not in _MERGED:
                found[path] = _entry(archive, member)
    return found


def _below_usr(name: str) -> str:
    path = name.removeprefix("./").strip("/").removeprefix(".")
    return f"usr/{path}" if path.split("/")[0] in _MERGED and "/" in path else path


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if member.isdir() or member.issym():
        return Entry(member.type, member.mode, target=member.linkname, gid=member.gid)
    content = archive.extractfile(member)
    if content is None:
        raise ReleaseError(f"{member.name} is neither a file, a folder nor a link")
    return Entry(tarfile.REGTYPE, member.mode, content.read(), gid=member.gid)


def read_folder(top: Path) -> Tree:
    """The files below a folder, with the modes they have."""
    return {
        str(path.relative_to(top)): file(path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }


def below(top: str, tree: Tree) -> Tree:
    """The same tree, deeper."""
    return {f"{top}/{path}": entry for path, entry in tree.items()}


def write_tar(tree: Tree, epoch: int) -> bytes:
    """Sorted, of root, dated by the epoch; folders that no package has are made."""
    whole = {path: folder() for path in _parents(tree)} | tree
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(whole):
            entry = whole[path]
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.target
            info.size, info.mtime, info.gid = len(entry.data), epoch, entry.gid
            archive.addfile(info, io.BytesIO(entry.data))
    return buffer.getvalue()


def _parents(tree: Tree) -> Iterator[str]:
    for path in tree:
        for parent in Path(path).parents:
            if str(parent) != ".":
                yield str(parent)


def gzipped(data: bytes) -> bytes:
    """Compressed, with neither a name nor a date in it."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def write_files(tree: Tree, top: Path) -> None:
    """Lay the tree down below a folder, as whoever runs this; special bits are left out."""
    for path, entry in tree.items():
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == tarfile.DIRTYPE:
            target.mkdir(exist_ok=True)
        elif entry.kind == tarfile.SYMTYPE:
            target.symlink_to(entry.target)
        else:
            target.write_bytes(entry.data)
            target.chmod(entry.mode & 0o777)


def pick(tree: Tree, wanted: Callable[[str], bool]) -> Tree:
    """What of it is wanted."""
    return {path: entry for path, entry in tree.items() if wanted(path)}


def with_plain_modes(tree: Tree) -> Tree:
    """Whatever the umask was: all may read it, and run what its owner may."""
    plain = {path: 0o755 if each.mode & 0o100 else 0o644 for path, each in tree.items()}
    return {path: replace(each, mode=plain[path]) for path, each in tree.items()}


def without_special_bits(tree: Tree) -> Tree:
    """No program of it brings rights by itself."""
    return {
        path: replace(
            entry, mode=entry.mode & 0o1777 if entry.kind == tarfile.DIRTYPE else entry.mode & 0o777
        )
        for path, entry in tree.items()
    }
