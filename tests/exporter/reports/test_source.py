from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ebpf.errors import UsageError
from exporter.errors import CollectFailed
from exporter.http_access import Access
from exporter.http_client import Limits
from exporter.reports.matrix import AnswerInvalid, read_matrix
from exporter.reports.queries import Queries
from exporter.reports.source import Retry, Source
from tests.exporter.reports.prometheus_api import Answer, Api, failure
from tests.exporter.reports.world import HOUR, Node, Pod, samples_of

NODES = ("n1", "n2", "n3", "n4")


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    pod = Pod("u1", "web-1", HOUR - 9000.0, HOUR + 9000.0, 10.0)
    with Api(samples_of([Node(name, (pod,) if name == "n1" else (), step=60.0) for name in NODES])) as api:
        yield api


@pytest.fixture
def api(served: Api) -> Api:
    served.trouble = lambda path, query: None
    served.asked.clear()
    served.headers.clear()
    return served


def source_of(api: Api, waits: list[float] | None = None, tries: int = 4, **access: object) -> Source:
    sleep = [].append if waits is None else waits.append
    return Source(Access(api.url, **access), Retry(tries, 1.0, sleep))  # type: ignore[arg-type]


def samples(source: Source, nodes: tuple[str, ...] = NODES) -> list[tuple[str, list[float], list[float]]]:
    """In an order that does not tell how they were asked for, pieces of one series put together."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in source.samples(Queries().frames, nodes, HOUR, HOUR + 1800.0):
        found.setdefault(str(sorted(each.labels.items())), []).extend(
            zip(each.times, each.values, strict=True)
        )
    return sorted((labels, *map(list, zip(*points, strict=True))) for labels, points in found.items())


def test_samples_are_those_after_the_begin_and_up_to_the_end(api: Api) -> None:
    times = np.concatenate([each[1] for each in samples(source_of(api))])
    assert (times.min(), times.max()) == (HOUR + 7, HOUR + 1747)


def test_a_server_that_is_busy_is_asked_again_later_each_time(api: Api) -> None:
    answers: list[Answer] = [failure(503, "unavailable", "starting"), failure(500, "internal", "oops")]
    api.trouble = lambda path, query: answers.pop() if answers else None
    waits: list[float] = []
    assert len(samples(source_of(api, waits))) > 10
    assert len(waits) == 2
    assert waits[0] == 1.0
    assert 1.5 <= waits[1] <= 2.5


def test_a_server_that_says_when_is_asked_then(api: Api) -> None:
    answers: list[Answer] = [(429, b"", {"Retry-After": "17"})]
    api.trouble = lambda path, query: answers.pop() if answers else None
    waits: list[float] = []
    samples(source_of(api, waits))
    assert waits == [17.0]


@pytest.mark.parametrize(
    "refusal",
    [
        failure(422, "execution", "query processing would load too many samples into memory"),
        failure(503, "timeout", "query timed out in expression evaluation"),
        (504, b"<html>Gateway Timeout", {}),
        failure(413, "too_large", "the response is larger than the maximum"),
    ],
)
def test_what_is_too_much_is_asked_for_in_halves(api: Api, refusal: Answer) -> None:
    whole = samples(source_of(api))
    api.asked.clear()
    api.trouble = lambda path, query: refusal if "n1" in query and "n2" in query else None
    waits: list[float] = []
    assert samples(source_of(api, waits)) == whole
    assert len(api.asked) == 5  # all, the first half, each of its nodes, and the second half
    assert not waits


@pytest.mark.parametrize(
    "refusal", [failure(503, "timeout", "query timed out"), (504, b"<html>Gateway Timeout", {})]
)
def test_what_is_too_slow_for_one_node_is_tried_again_before_it_is_asked_for_in_parts(
    api: Api, refusal: Answer
) -> None:
    answers = [refusal] * 2
    api.trouble = lambda path, query: answers.pop() if answers else None
    waits: list[float] = []
    assert samples(source_of(api, waits), ("n1",))
    assert len(waits) == 2
    assert {re.findall(r"\[\d+s\]", query)[0] for query in api.asked} == {"[1800s]"}


def test_a_server_that_does_not_answer_in_time_is_asked_again(api: Api) -> None:
    late = [0.4]
    api.trouble = lambda path, query: time.sleep(late.pop()) if late else None
    source = Source(Access(api.url), Retry(2, 0.0), Limits(read=0.15))
    assert source.label_values("node_name", "podjoule_ticks_total{}", HOUR, HOUR + 60.0) == list(NODES)
    assert len(api.asked) == 2


def test_names_that_never_come_in_time_are_an_error_of_that(api: Api) -> None:
    api.trouble = lambda path, query: (504, b"", {})
    with pytest.raises(CollectFailed, match=r"does not answer in time: answered 504"):
        source_of(api).label_values("node_name", "podjoule_ticks_total{}", HOUR, HOUR + 60.0)
    assert len(api.asked) == 4


def test_a_connection_that_is_not_taken_in_time_is_tried_again() -> None:
    """A listener whose queue is full leaves them waiting, as a firewall does."""
    waits: list[float] = []
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        source = Source(Access(url), Retry(2, 0.0, waits.append), Limits(connect=0.2))
        with pytest.raises(CollectFailed, match="cannot be reached"):
            source.query("up{}[60s]", HOUR, is_of_many=True)
    assert len(waits) == 1


def test_an_answer_above_our_own_limit_is_asked_for_in_halves_down_to_parts_of_the_hour(api: Api) -> None:
    whole = samples(source_of(api))
    small = Source(Access(api.url), Retry(1), Limits(max_bytes=9_000))
    assert samples(small) == whole
    assert any("[900s]" in query for query in api.asked)


def test_one_node_and_minute_that_are_too_much_are_an_error_in_the_servers_words(api: Api) -> None:
    api.trouble = lambda path, query: failure(422, "execution", "too many samples")
    with pytest.raises(CollectFailed, match=r"one node's part .* too much .* 422 .*: too many samples"):
        samples(source_of(api))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (failure(401, "unauthorized", "who are you"), "answers 401: who are you; look at --user"),
        ((403, b"no", {}), "answers 403; look at --user and --password-file, or --token-file"),
        ((404, b"", {}), "has no /api/v1; is it a server of Prometheus' API"),
        (failure(400, "bad_data", "parse error"), "refuses the query: parse error; look at --selector"),
        ((302, b"", {"Location": "http://127.0.0.2:1/"}), "give --prometheus the address where it leads"),
        ((200, b"<html>", {}), "wanted JSON, found b'<html>'; is it a server of Prometheus' API"),
        ((200, b'{"status":"success"}', {}), "wanted a successful answer"),
        ((200, b'{"status":"success","data":{"result":[{}]}}', {}), "wanted series"),
        (failure(500, "internal", "disk\nfull"), "answered 500 .*: disk full"),
    ],
)
def test_what_a_server_says_is_told_with_the_mend(api: Api, answer: Answer, told: str) -> None:
    api.trouble = lambda path, query: answer
    with pytest.raises(CollectFailed, match=told) as raised:
        samples(source_of(api, tries=2))
    assert api.url in str(raised.value)
    assert "\n" not in str(raised.value)


def test_wrong_credentials_are_not_tried_again(api: Api) -> None:
    api.trouble = lambda path, query: (401, b"", {})
    with pytest.raises(CollectFailed):
        samples(source_of(api))
    assert len(api.asked) == 1


def test_an_answer_that_may_lack_something_is_not_taken(api: Api) -> None:
    part = b'{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["store down"]}'
    api.trouble = lambda path, query: (200, part, {})
    with pytest.raises(CollectFailed, match="may lack something: store down"):
        samples(source_of(api))


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(CollectFailed, match=r"127\.0\.0\.1:9 cannot be reached: Connection refused"):
        Source(Access("http://127.0.0.1:9"), Retry(2, 0.0)).query("up", HOUR)


def test_credentials_are_sent_and_read_anew(api: Api, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    source = source_of(api, token_file=token, tenant="team-a")
    samples(source)
    token.write_text("second\n")
    samples(source)
    assert [each["Authorization"] for each in api.headers] == ["Bearer first", "Bearer second"]
    assert {each["X-Scope-OrgID"] for each in api.headers} == {"team-a"}


def test_a_password_is_sent_as_basic_authentication(api: Api, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sésame\n")
    samples(source_of(api, user="me", password_file=tmp_path / "password"))
    sent = api.headers[0]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == "me:sésame"


@pytest.mark.parametrize(
    ("access", "told"),
    [
        ({"user": "me"}, "--user and --password-file go together"),
        ({"user": "me", "token_file": Path("t"), "password_file": Path("p")}, "a server takes one of them"),
        ({"token_file": Path("/nowhere")}, "--token-file /nowhere: cannot be read"),
        ({"user": "a:b", "password_file": Path("p")}, "holds no colon"),
        ({"ca_file": Path("/nowhere")}, "--ca-file /nowhere: no certificates can be read"),
    ],
)
def test_what_can_never_work_is_refused_at_once(access: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Source(Access("https://127.0.0.1:9", **access))  # type: ignore[arg-type]


def test_both_ways_of_reading_an_answer_give_the_same() -> None:
    tight = (
        b'{"status":"success","data":{"resultType":"matrix","result":['
        b'{"metric":{"a":"x\\"},\\"values\\":[[1]]"},"values":[[1.5,"2e3"],[3,"NaN"]]},'
        b'{"metric":{},"values":[[1,"+Inf"]]}]}}'
    )
    loose = tight.replace(b'"values":[[1.5', b'"values" : [[1.5').replace(b'"values":[[1,', b'"values": [[1,')
    for one, other in zip(read_matrix(tight), read_matrix(loose), strict=True):
        assert one.labels == other.labels
        np.testing.assert_array_equal(one.times, other.times)
        np.testing.assert_array_equal(one.values, other.values)
    assert read_matrix(tight)[0].labels == {"a": 'x"},"values":[[1]]'}


def test_an_answer_that_says_it_is_partial_is_refused() -> None:
    series = b'{"metric":{},"values":[[1,"2"]]}'
    body = b'{"status":"success","isPartial":true,"data":{"resultType":"matrix","result":[' + series + b"]}}"
    with pytest.raises(AnswerInvalid, match="may lack something"):
        read_matrix(body)


def test_names_of_nodes_are_taken_literally() -> None:
    query = Queries('job="p"').frames(['a.b-1"', "c+"], 60)
    assert r'node_name=~"a\\.b-1\\\"|c\\+"' in query
    assert query.endswith(',job="p"}[60s]')


def test_who_waits_for_a_busy_server_waits_no_more_once_stopped(api: Api) -> None:
    source = Source(Access(api.url))

    def trouble(path: str, query: str) -> Answer:
        threading.Timer(0.2, source.stop).start()
        return 429, b"", {"Retry-After": "60"}

    api.trouble = trouble
    begun = time.monotonic()
    with pytest.raises(CollectFailed, match="answered 429"):
        source.query("up{}[60s]", HOUR)
    assert time.monotonic() - begun < 30
