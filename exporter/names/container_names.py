"""The names that docker and podman gave their containers, from the files in which they keep them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from exporter.configuration.file_signature import Signature
from exporter.names.container_stores import ContainerStores
from exporter.names.host_files import HostFiles

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_RECORDS = ("*-containers/containers.json", "*-containers/volatile-containers.json")

_IN_A_POD = "KUBERNETES_SERVICE_HOST"


def host_root(procfs: Path, environ: Mapping[str, str]) -> Path | None:
    """Where the host's file system is; None in a pod, which sees its own alone.

    procfs: the host's, /proc or a mount of it: where that is /host/proc, the host is at /host, if anywhere.
    """
    above = procfs.absolute().parent
    return None if above == Path("/") and _IN_A_POD in environ else above


class ContainerNames:
    """Container id -> name, for hosts without Kubernetes; files alone, no socket and no command.

    root: where the host's file system is; None where it cannot be seen, and nothing is looked for. A file
    that cannot be read or understood costs its names and is counted in `errors`. Names stay until `forget`.
    However many are asked for, stores are looked for at most once a second, and what they hold is looked at
    once from one `look_again` to the next.
    """

    def __init__(
        self,
        root: Path | None = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        files: HostFiles | None = None,
    ) -> None:
        self._root = root
        self._clock = clock
        self._files = files or HostFiles()
        self._names: dict[str, str] = {}
        self._docker: list[Path] = []
        self._held: dict[Path, set[str]] | None = None
        self._records: dict[Path, Signature] = {}
        self._listed: dict[str, str] = {}
        self._next_search = float("-inf")

    @property
    def errors(self) -> int:
        """Files and directories that could not be read or understood."""
        return self._files.errors

    def look_again(self) -> None:
        """Whoever is asked for from now on may have come since: to be called once the ids are known."""
        self._held = None

    def lookup(self, container_id: str) -> str:
        """The name, or "" where none is to be had."""
        if container_id not in self._names:
            name = self._find(container_id)
            if not name:
                return ""
            self._names[container_id] = name
        return self._names[container_id]

    def forget(self, container_id: str) -> None:
        """Let go of a container that has ended."""
        self._names.pop(container_id, None)

    def _find(self, container_id: str) -> str:
        # An id becomes part of a path below: nothing but an id may.
        if self._root is None or not _CONTAINER_ID.fullmatch(container_id):
            return ""
        if self._held is None:
            self._held = self._look(self._root)
        return self._in_docker(self._held, container_id) or self._listed.get(container_id, "")

    def _in_docker(self, held: dict[Path, set[str]], container_id: str) -> str:
        stores = (store for store, ids in held.items() if container_id in ids)
        names = (_docker_name(self._files.load(store / container_id / "config.v2.json")) for store in stores)
        return next(filter(None, names), "")

    def _look(self, root: Path) -> dict[Path, set[str]]:
        """Read podman's records if they have changed; the ids docker has folders for, by store."""
        self._search(root)
        if any(self._files.signature(record) != seen for record, seen in self._records.items()):
            self._read_records()
        stores = (store / "containers" for store in self._docker)
        return {store: ids for store in stores if (ids := set(self._files.listed(store)))}

    def _search(self, root: Path) -> None:
        """Find the stores there are: the slow part, since it lists every home directory."""
        now = self._clock()
        if now < self._next_search:
            return
        self._next_search = now + 1.0
        places = ContainerStores(root, self._files)
        self._docker = list(places.docker())
        found = [r for store in places.podman() for name in _RECORDS for r in self._files.glob(store, name)]
        self._records = {record: self._records.get(record, ()) for record in found}

    def _read_records(self) -> None:
        # The signature comes first: a record that changes while it is read is read again.
        self._records = {record: self._files.signature(record) for record in self._records}
        self._listed = {}
        for record in self._records:
            self._listed.update(_podman_names(self._files.load(record)))


def _docker_name(config: object) -> str:
    """ "Name": "/web" in config.v2.json; the slash is from the days of linked containers."""
    name = config.get("Name") if isinstance(config, dict) else None
    return name.removeprefix("/") if isinstance(name, str) else ""


def _podman_names(records: object) -> Iterator[tuple[str, str]]:
    """(id, first name) of each entry of a containers.json (containers/storage, containers.go)."""
    for record in records if isinstance(records, list) else ():
        match record:
            case {"id": str(container_id), "names": [str(name), *_]}:
                yield container_id, name
