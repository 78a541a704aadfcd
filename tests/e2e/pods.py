"""Pods without a kubelet: their cgroups, as its cgroupfs driver makes them, in every hierarchy."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from tests.live.sandbox import Cgroup, hierarchies, run_tag


@dataclass(frozen=True)
class Pod:
    """A burstable pod with one container."""

    uid: str
    container: Cgroup


@contextlib.contextmanager
def pods(*names: str) -> Iterator[dict[str, Pod]]:
    """Fresh pods by name, gone afterwards with whatever runs in them.

    They lie below a parent of their own, as kind's do: a kubelet that runs here removes the pods that it does
    not know from its own tree.
    """
    top = Cgroup(f"/e2e-{run_tag()}-{uuid.uuid4().hex[:8]}", hierarchies())
    with contextlib.ExitStack() as stack:
        burstable = _made(stack, top, "kubepods", "burstable")
        yield {name: _pod(stack, burstable) for name in names}


def _pod(stack: contextlib.ExitStack, burstable: Cgroup) -> Pod:
    uid = str(uuid.uuid4())
    return Pod(uid, _made(stack, burstable.child(f"pod{uid}"), uuid.uuid4().hex * 2))


def _made(stack: contextlib.ExitStack, group: Cgroup, *below: str) -> Cgroup:
    """Make a cgroup and those below it in turn; the last. They are removed with the stack."""
    stack.callback(group.make().remove)
    for name in below:
        group = group.child(name)
        stack.callback(group.make().remove)
    return group
