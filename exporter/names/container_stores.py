"""Where docker and podman keep their files: the usual places, and those of their configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from exporter.names.host_files import HostFiles

# From the host's root; snap's docker has a root of its own.
_DOCKER = ("var/lib/docker", "var/snap/docker/common/var-lib-docker")
_DOCKER_CONF = ("etc/docker/daemon.json", "var/snap/docker/current/config/daemon.json")
# The run roots hold the records of `podman --transient-store`.
_PODMAN = ("var/lib/containers/storage", "run/containers/storage", "run/user/*/containers")
_STORAGE_CONF = ("etc/containers/storage.conf", "usr/share/containers/storage.conf")
_USERNS = "[0-9]*.[0-9]*"  # with userns-remap docker keeps all below a directory UID.GID

# From a home.
_ROOTLESS_DOCKER, _ROOTLESS_DOCKER_CONF = ".local/share/docker", ".config/docker/daemon.json"
_ROOTLESS_PODMAN, _ROOTLESS_STORAGE_CONF = (
    ".local/share/containers/storage",
    ".config/containers/storage.conf",
)


class ContainerStores:
    """The directories that may hold records of containers, below the host's root; some may not be there."""

    def __init__(self, root: Path, files: HostFiles) -> None:
        self._root, self._files = root, files
        self._homes = list(dict.fromkeys(self._find_homes()))

    def docker(self) -> Iterator[Path]:
        """Docker's data roots (dockerd(8), --data-root), those of remapped users among them."""
        configured = [self._root / conf for conf in _DOCKER_CONF]
        configured += [home / _ROOTLESS_DOCKER_CONF for home in self._homes]
        places = [self._root / place for place in _DOCKER]
        places += [home / _ROOTLESS_DOCKER for home in self._homes]
        for conf in configured:
            # "graph" is what data-root was called before 17.05.
            places += self._named(self._files.load(conf), ("data-root", "graph"))
        for place in dict.fromkeys(places):
            yield place
            yield from self._files.glob(place, _USERNS)

    def podman(self) -> Iterator[Path]:
        """Podman's graph and run roots (containers-storage.conf(5))."""
        for pattern in _PODMAN:
            yield from self._files.glob(self._root, pattern)
        for home in self._homes:
            yield home / _ROOTLESS_PODMAN
            yield from self._named(
                self._storage(home / _ROOTLESS_STORAGE_CONF), ("graphroot", "runroot"), home
            )
        for conf in _STORAGE_CONF:
            storage = self._storage(self._root / conf)
            yield from self._named(storage, ("graphroot", "runroot"))
            for home in self._homes:
                yield from self._named(storage, ("rootless_storage_path",), home)

    def _find_homes(self) -> Iterator[Path]:
        """Those of /etc/passwd, and what lies in /home: a directory service has its users elsewhere."""
        for line in self._files.text(self._root / "etc/passwd").splitlines():
            fields = line.split(":")
            if len(fields) == 7 and fields[5].strip("/"):
                yield self._root / fields[5].lstrip("/")
        yield self._root / "root"
        yield from self._files.glob(self._root, "home/*")

    def _storage(self, conf: Path) -> object:
        text = self._files.text(conf)
        if not text:
            return None
        import tomllib  # most machines have no such file, and need not wait for it

        with suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(text).get("storage")
        return None

    def _named(self, table: object, keys: tuple[str, ...], home: Path | None = None) -> Iterator[Path]:
        """The directories that a configuration names, as the host's root has them."""
        for key in keys:
            directory = table.get(key) if isinstance(table, dict) else None
            if not isinstance(directory, str) or "\0" in directory:
                continue
            if home is not None:
                inside = "/" + str(home.relative_to(self._root))
                directory = directory.replace("$HOME", inside).replace("$USER", home.name)
            if directory.startswith("/") and "$" not in directory:
                yield self._root / directory.lstrip("/")
