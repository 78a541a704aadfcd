"""Pods are found by every name, for a while after their end, and their memory is bounded."""

from __future__ import annotations

import pytest

from exporter.names.kube import pod_store as pod_store
from exporter.names.kube.parse import pod_info
from exporter.names.kube.pod_store import KEEP_SECONDS, PodStore
from exporter.names.pods import PodInfo
from tests.exporter.names.kube.kube_server import pod, uid


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def info(n: int, container: int | None = None) -> PodInfo:
    return pod_info(pod(n, container))


def test_a_restarted_container_takes_the_place_of_the_one_its_status_no_longer_tells() -> None:
    store = PodStore()
    store.put(info(0, 1))
    store.put(info(0, 2))
    assert store.find(f"{2:064x}") == store.find(uid(0))
    assert store.find(f"{1:064x}") is None


def test_a_pod_that_is_gone_is_found_for_a_minute_yet() -> None:
    clock = Clock()
    store = PodStore(clock)
    store.put(info(0, 1))
    store.remove(uid(0))
    assert len(store) == 0
    clock.now = KEEP_SECONDS - 0.1
    store.forget_gone()
    assert store.find(uid(0))
    assert store.find(f"{1:064x}")
    clock.now = KEEP_SECONDS
    store.forget_gone()
    assert not store._by_key
    assert not store._gone


def test_a_pod_that_comes_back_stays() -> None:
    """A static pod has the same UID whenever its mirror is made anew."""
    clock = Clock()
    store = PodStore(clock)
    store.put(info(0, 1))
    store.remove(uid(0))
    store.put(info(0, 1))
    clock.now = 2 * KEEP_SECONDS
    store.forget_gone()
    assert uid(0) in store
    assert store.find(f"{1:064x}")


def test_what_a_list_does_not_name_is_gone() -> None:
    store = PodStore()
    for n in range(3):
        store.put(info(n))
    store.keep_only({uid(1), "one that was never put"})
    assert [uid(n) in store for n in range(3)] == [False, True, False]


def test_of_very_many_that_are_gone_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_store, "MAX_GONE", 10)
    store = PodStore(Clock())
    for n in range(100):
        store.put(info(n, n))
        store.remove(uid(n))
    assert store.find(uid(90))
    assert store.find(uid(89)) is None
    assert len(store._by_key) == 20


def test_removing_what_is_not_there_does_nothing() -> None:
    store = PodStore()
    store.remove("nobody")
    assert len(store) == 0
