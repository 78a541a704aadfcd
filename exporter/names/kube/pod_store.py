"""The pods that are known, and those that are gone for a while yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Set

from exporter.names.pods import PodInfo

# What a pod leaves is named in the first tick after its end, or at most Lifetimes.naming_seconds later.
KEEP_SECONDS, MAX_GONE = 60.0, 5_000


class PodStore:
    """Pods by UID and by container id. One thread writes; `find` may be called by any.

    A pod that is gone is found for KEEP_SECONDS yet; past MAX_GONE of them the oldest go before their time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_key: dict[str, PodInfo] = {}
        self._living: set[str] = set()
        self._by_name: dict[tuple[str, str], str] = {}
        self._gone: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._living)

    def __contains__(self, uid: str) -> bool:
        return uid in self._living

    def find(self, key: str) -> PodInfo | None:
        """The pod with this UID or a container of this id."""
        return self._by_key.get(key)

    def named(self, namespace: str, name: str) -> PodInfo | None:
        """The living pod of this name; of two, as when one takes another's place, the newer."""
        uid = self._by_name.get((namespace, name))
        return self._by_key.get(uid) if uid else None

    def put(self, info: PodInfo) -> None:
        """Take in a pod as it is now."""
        if info.uid not in self._living:
            self._by_name[info.namespace, info.name] = info.uid
        self._living.add(info.uid)
        self._gone.pop(info.uid, None)
        before = self._by_key.get(info.uid)
        if before == info:
            return
        self._by_key[info.uid] = info
        self._by_key.update(dict.fromkeys(info.containers, info))
        if before:
            self._forget_containers(before, info.containers.keys())

    def remove(self, uid: str) -> None:
        """A pod is gone."""
        if uid in self._living:
            self._living.remove(uid)
            info = self._by_key[uid]
            if self._by_name.get((info.namespace, info.name)) == uid:
                del self._by_name[info.namespace, info.name]
            self._gone[uid] = self._clock()
            self.forget_gone()

    def keep_only(self, uids: Set[str]) -> None:
        """Every pod there is has been listed: the others are gone."""
        for uid in self._living - uids:
            self.remove(uid)

    def forget_gone(self) -> None:
        """Let go of what has been gone for long enough."""
        old = self._clock() - KEEP_SECONDS
        while self._gone:
            uid, since = next(iter(self._gone.items()))
            if since > old and len(self._gone) <= MAX_GONE:
                break
            del self._gone[uid]
            self._forget_containers(self._by_key.pop(uid), ())

    def _forget_containers(self, info: PodInfo, but: Set[str] | tuple[()]) -> None:
        for container_id in info.containers:
            if container_id not in but:
                self._by_key.pop(container_id, None)
