"""Pods without a kubelet: their cgroups, as its cgroupfs driver makes them, in every hierarchy."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from tests.live.sandbox import Cgroup, hierarchies


@dataclass(frozen=True)
class Pod:
    """A burstable pod with one container."""

    uid: str
    container: Cgroup


def _make(group: Cgroup) -> bool:
    """Make a cgroup where it is not; whether it was not."""
    made = False
    for version in group.mounts:
        with contextlib.suppress(FileExistsError):
            group.folder(version).mkdir()
            made = True
    return made


@contextlib.contextmanager
def pods(*names: str) -> Iterator[dict[str, Pod]]:
    """Fresh pods by name, gone afterwards with whatever runs in them."""
    mounts = hierarchies()
    made: list[Cgroup] = []
    known = {}
    try:
        for name in names:
            uid = str(uuid.uuid4())
            folder = f"/kubepods/burstable/pod{uid}"
            line = ["/kubepods", "/kubepods/burstable", folder, f"{folder}/{uuid.uuid4().hex * 2}"]
            groups = [Cgroup(path, mounts) for path in line]
            made += [group for group in groups if _make(group)]
            known[name] = Pod(uid, groups[-1])
        yield known
    finally:
        for group in reversed(made):
            group.remove()
