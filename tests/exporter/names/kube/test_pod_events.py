"""What a watch tells, read quickly, is what it tells read slowly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.names.kube import events as pod_events
from exporter.names.kube.events import PodEvents, without_managed_fields
from exporter.names.kube.failure import Failure, of_event, of_status
from exporter.names.kube.pod_store import PodStore
from tests.exporter.names.kube.kube_server import Json, event_line, pod, uid

MANAGED = [{"manager": "kubelet", "fieldsV1": {'k:{"uid":"]},\\"spec\\":"}': {}}, "subresource": "status"}]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ADDED", "MODIFIED", "DELETED"]),
        st.integers(0, 3),
        st.none() | st.integers(0, 9),
        st.booleans(),
        st.booleans(),
    ),
    max_size=20,
)


def a_line(kind: str, n: int, container: int | None, *, is_managed: bool, version: int = 1) -> bytes:
    more = {"managedFields": MANAGED} if is_managed else {}
    return event_line(kind, pod(n, container, resourceVersion=str(version), **more)).rstrip()


def known(store: PodStore) -> dict[str, object]:
    keys = [uid(n) for n in range(4)] + [f"{n:064x}" for n in range(40)]
    return {key: (store.find(key), key in store) for key in keys}


@given(EVENTS)
def test_batches_and_shortcuts_change_nothing(
    events: list[tuple[str, int, int | None, bool, bool]],
) -> None:
    fast_store, slow_store = PodStore(), PodStore()
    fast, slow = PodEvents(fast_store, (), "0"), PodEvents(slow_store, (), "0")
    last: dict[int, int | None] = {}
    for i, (kind, n, container, is_managed, is_flushed) in enumerate(events):
        if kind != "DELETED" or n not in last:  # what is deleted is as it was told of before
            last[n] = None if container is None else 10 * n + container
        line = a_line(kind, n, last[n], is_managed=is_managed, version=i + 1)
        fast.take(line)
        slow.take(json.dumps(json.loads(line)).encode())  # other spaces: no shortcut is taken
        if is_flushed:
            fast.flush()
    fast.flush()
    assert known(fast_store) == known(slow_store)
    assert len(fast_store) == len(slow_store)
    assert fast.version == slow.version == str(len(events))


def test_of_several_lines_about_a_pod_the_last_alone_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    really = pod_events._parsed
    monkeypatch.setattr(pod_events, "_parsed", lambda line: parsed.append(line) or really(line))
    store = PodStore()
    events = PodEvents(store, (), "0")
    for container in (None, 1, 1):
        events.take(a_line("MODIFIED", 0, container, is_managed=False))
    events.flush()
    events.take(a_line("DELETED", 0, 1, is_managed=False))
    events.flush()
    assert len(parsed) == 1
    assert store.find(f"{1:064x}") is not None
    assert len(store) == 0


def test_a_pod_that_came_and_went_between_two_looks_is_known() -> None:
    store = PodStore()
    events = PodEvents(store, (), "0")
    events.take(a_line("ADDED", 0, None, is_managed=False))
    events.take(a_line("DELETED", 0, 1, is_managed=False))
    events.flush()
    assert store.find(f"{1:064x}") is not None
    assert len(store) == 0


def test_a_burst_is_not_held_in_memory() -> None:
    store = PodStore()
    events = PodEvents(store, (), "0")
    for n in range(1_000):
        events.take(a_line("ADDED", n, n, is_managed=True))
        assert len(events._pending) < pod_events._MAX_PENDING
    events.flush()
    assert len(store) == 1_000


def test_managed_fields_are_left_out_and_nothing_else() -> None:
    line = a_line("ADDED", 0, 1, is_managed=True)
    cut = without_managed_fields(line)
    expected: Json = json.loads(line)
    del expected["object"]["metadata"]["managedFields"]
    assert json.loads(cut) == expected


@pytest.mark.parametrize("line", [b'{"managedFields":[', b"", b',"managedFields":[{}]', b'"managedFields"'])
def test_a_line_without_their_end_stays_as_it_is(line: bytes) -> None:
    assert without_managed_fields(line) == line


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_line_is_an_event_or_a_failure(line: bytes) -> None:
    events = PodEvents(PodStore(), (), "0")
    with pytest.raises(Failure) as raised:
        events.take(line)
    assert raised.value.reason == "malformed"


def test_a_pod_of_another_shape_is_counted_and_the_rest_goes_on() -> None:
    store = PodStore()
    events = PodEvents(store, (), "0")
    events.take(b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"7"}}}')
    events.take(a_line("ADDED", 0, 1, is_managed=False, version=8))
    events.flush()
    assert (events.malformed, len(store), events.version) == (1, 1, "8")


@pytest.mark.parametrize(
    ("status", "reason", "seconds"),
    [
        ({"code": 410}, "gone", 0),
        ({"code": 429, "details": {"retryAfterSeconds": 7}}, "throttled", 7),
        ({"code": 500, "details": {"retryAfterSeconds": -1}}, "server", 0),
        ({"code": 504}, "server", 0),
        ({}, "server", 0),
        ({"code": "x", "details": []}, "server", 0),
    ],
)
def test_an_error_event_has_its_reason(status: Json, reason: str, seconds: float) -> None:
    failure = of_event(status)
    assert (failure.reason, failure.retry_after_seconds) == (reason, seconds)


@pytest.mark.parametrize(
    ("told", "seconds"), [("7", 7.0), (" 7 ", 7.0), ("", 0.0), ("soon", 0.0), ("-1", 0.0), ("9" * 9, 600.0)]
)
def test_retry_after_in_seconds_within_reason(told: str, seconds: float) -> None:
    assert of_status(429, "GET /", told).retry_after_seconds == seconds
