"""The watch of the API server, by the real client over real TLS, through every fault it may meet."""

from __future__ import annotations

import base64
import select
import socket
import time
from pathlib import Path

import pytest
import yaml

from exporter.names.kube.access import Kubeconfig, ServiceAccount
from exporter.names.kube.backoff import Backoff
from exporter.names.kube.failure import REASONS
from tests.exporter.names.kube.kube_plant import LEFT_BY_SSL, Plant, errors, name_of, wait_until
from tests.exporter.names.kube.kube_server import (
    TOKEN,
    Exchange,
    Fault,
    compact,
    event_line,
    hang,
    hang_amid,
    pod,
    status,
    stream,
    uid,
    write_ca,
)

pytestmark = pytest.mark.filterwarnings(f"ignore:{LEFT_BY_SSL}:ResourceWarning")


def test_pods_are_listed_page_by_page_and_found_by_uid_and_container(plant: Plant) -> None:
    for n in range(5):
        plant.server.change("ADDED", pod(n, n + 10))
    directory = plant.follow()
    wait_until(lambda: directory.status().is_current)
    assert [name_of(directory, uid(n)) for n in range(5)] == [f"pod-{n}" for n in range(5)]
    assert [name_of(directory, f"{n + 10:064x}") for n in range(5)] == [f"pod-{n}" for n in range(5)]
    assert plant.server.count("list") == 3
    assert directory.status().pods == 5
    assert plant.server.requests[0][1].query["fieldSelector"] == "spec.nodeName=node1"


def test_what_changes_is_known_without_listing_again(plant: Plant) -> None:
    plant.add(3)
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch"))
    plant.server.change("ADDED", pod(7))
    wait_until(lambda: name_of(directory, uid(7)))
    assert name_of(directory, f"{7:064x}") is None
    plant.server.change("MODIFIED", pod(7, 7))
    wait_until(lambda: name_of(directory, f"{7:064x}"))
    plant.server.change("DELETED", pod(7, 7))
    wait_until(lambda: directory.status().pods == 3)
    assert name_of(directory, f"{7:064x}") == "pod-7"
    assert plant.server.count("list") == 2
    assert not errors(directory)


def test_the_end_of_a_chunk_that_comes_by_itself_holds_no_event_back(plant: Plant) -> None:
    """As Go's TLS sends it, in small records: there is something to read, and no event in it."""

    def fault(exchange: Exchange) -> None:
        exchange.begin_stream()
        line = event_line("ADDED", pod(8, 8, resourceVersion="150"))
        exchange.handler.wfile.write(b"%x\r\n%s" % (len(line), line))
        exchange.handler.wfile.write(b"\r\n")  # a record of its own, that is there at once
        hang(exchange)

    plant.server.faults["watch"].append(fault)
    directory = plant.follow()
    wait_until(lambda: name_of(directory, uid(8)) == "pod-8")
    assert plant.server.count("watch") == 1, "it became known when the watch was given up"


def test_a_watch_that_the_server_ends_goes_on_from_where_it_was(plant: Plant) -> None:
    first = event_line("ADDED", pod(8, 8, resourceVersion="150"))
    bookmark = compact(
        {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "170"}}}
    )
    plant.server.faults["watch"].append(stream(first, bookmark + b"\n"))
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch") == 2)
    assert plant.server.requests[-1][1].query["resourceVersion"] == "170"
    assert plant.server.requests[-1][1].query["allowWatchBookmarks"] == "true"
    assert name_of(directory, uid(8)) == "pod-8"
    assert not errors(directory)


def test_a_watch_that_ends_at_once_without_a_word_is_no_reason_to_hurry(plant: Plant) -> None:
    plant.server.faults["watch"].extend([stream()] * 3)
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch") == 4)
    assert errors(directory) == {"connection": 3}


GONE = compact({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}) + b"\n"
HALF_A_LINE = event_line("ADDED", pod(9, 9))[:100]

FAULTS: dict[str, tuple[str, Fault, str]] = {
    "forbidden": ("watch", status(403), "forbidden"),
    "forbidden to list": ("list", status(403), "forbidden"),
    "gone as a status": ("watch", status(410), "gone"),
    "gone as an event": ("watch", stream(GONE), "gone"),
    "the list's next page is gone": ("list", status(410), "gone"),
    "cut before a line": ("watch", stream(event_line("ADDED", pod(8, 8)), is_cut=True), "connection"),
    "cut amid a line": ("watch", stream(HALF_A_LINE, is_cut=True), "connection"),
    "ended amid a line": ("watch", stream(HALF_A_LINE), "connection"),
    "list cut": ("list", stream(b'{"items":[{', is_cut=True), "connection"),
    "closed without an answer": ("watch", Exchange.cut, "connection"),
    "throttled": ("watch", status(429), "throttled"),
    "server error": ("list", status(500), "server"),
    "unavailable": ("watch", status(503), "server"),
    "redirected": ("list", status(302, Location="https://elsewhere.invalid/"), "refused"),
    "not found": ("watch", status(404), "refused"),
    "a page of HTML for a list": ("list", status(200, b"<html>Sign in</html>"), "malformed"),
    "a list that is not whole": ("list", status(200, b'{"metadata":{},"items":[{"metadata":'), "malformed"),
    "a list of something else": ("list", status(200, b'{"kind":"Table","rows":[]}'), "malformed"),
    "not in UTF-8": ("list", status(200, b'{"items":["\xff'), "malformed"),
    "no JSON in a watch": ("watch", stream(b"<html>\n"), "malformed"),
    "no event in a watch": ("watch", stream(b"[]\n"), "malformed"),
    "a pod that is none": ("watch", stream(b'{"type":"ADDED","object":{"metadata":{}}}\n'), "malformed"),
    "silence": ("watch", hang_amid, "timeout"),
    "no answer": ("watch", hang, "timeout"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_after_a_fault_names_stay_it_is_counted_and_what_is_new_is_found(
    plant: Plant, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind, fault, reason = FAULTS[case]
    plant.add(3)
    plant.server.faults[kind].append(fault)
    directory = plant.follow(silence=0.5 if reason == "timeout" else 30.0)
    wait_until(lambda: errors(directory).get(reason))
    plant.server.change("ADDED", pod(4, 4))
    wait_until(lambda: name_of(directory, uid(4)))
    wait_until(lambda: directory.status().is_current)
    assert [name_of(directory, uid(n)) for n in range(3)] == ["pod-0", "pod-1", "pod-2"]
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert any(reason in message or "understood" in message for message in warnings)


def test_a_fault_is_logged_when_it_begins_and_when_it_is_over_and_not_in_between(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    plant.server.faults["list"].extend([status(403)] * 5 + [status(500)] * 5)
    directory = plant.follow()

    def told_lines() -> list[str]:
        return [record.message for record in caplog.records if record.name == "exporter.pods"]

    wait_until(lambda: len(told_lines()) >= 3)
    told = told_lines()
    assert len(told) == 3
    assert "forbidden: GET /api/v1/pods was answered with 403" in told[0]
    assert "server: GET /api/v1/pods was answered with 500" in told[1]
    assert told[2] == "the server: answers again (forbidden, server is over)"
    assert errors(directory) == {"forbidden": 5, "server": 5}


def test_every_reason_is_there_from_the_start(plant: Plant) -> None:
    assert plant.follow().status().errors == dict.fromkeys(REASONS, 0)


def test_after_gone_everything_is_listed_anew_and_what_went_meanwhile_is_gone(plant: Plant) -> None:
    plant.add(2)

    def delete_unseen(exchange: Exchange) -> None:
        plant.server.change("DELETED", pod(0, 0))
        exchange.answer(410)

    plant.server.faults["watch"].append(delete_unseen)
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch") == 2)
    assert plant.server.count("list") == 2
    assert directory.status().pods == 1
    assert name_of(directory, uid(0)) == "pod-0"


def test_a_cut_does_not_make_it_list_again(plant: Plant) -> None:
    plant.add(1)
    plant.server.faults["watch"].append(stream(event_line("ADDED", pod(8, 8)), HALF_A_LINE, is_cut=True))
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch") == 2)
    assert plant.server.count("list") == 1
    assert name_of(directory, uid(8)) == "pod-8"
    assert name_of(directory, uid(9)) is None


def test_retry_after_is_honoured(plant: Plant) -> None:
    plant.server.faults["list"].append(status(429, Retry_After="1"))
    directory = plant.follow()
    wait_until(lambda: directory.status().is_current)
    first, second = (exchange.at for kind, exchange in plant.server.requests if kind == "list")
    assert second - first >= 1.0
    assert errors(directory) == {"throttled": 1}


def test_an_expired_token_is_an_error_until_the_kubelet_has_replaced_it(plant: Plant) -> None:
    plant.add(1)
    plant.server.token = f"{TOKEN}2"
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("unauthorized"))
    assert not directory.status().is_current
    plant.write_token(f"{TOKEN}2\n")
    wait_until(lambda: name_of(directory, uid(0)))
    assert set(errors(directory)) == {"unauthorized"}


def test_a_token_that_was_replaced_while_it_was_refused_is_tried_at_once(plant: Plant) -> None:
    def rotate(exchange: Exchange) -> None:
        plant.server.token = f"{TOKEN}2"
        plant.write_token(plant.server.token)
        exchange.answer(401)

    plant.server.faults["list"].append(rotate)
    directory = plant.follow(Backoff(60.0, 60.0))
    wait_until(lambda: directory.status().is_current)
    assert errors(directory) == {"unauthorized": 1}


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "\x00", "ü"])
def test_what_is_no_token_is_sent_nowhere(plant: Plant, content: str) -> None:
    plant.write_token(content)
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("credentials"))
    assert not plant.server.requests
    plant.write_token(TOKEN)
    wait_until(lambda: directory.status().is_current)


def test_a_server_with_a_certificate_of_another_ca_is_not_told_the_token(plant: Plant) -> None:
    other, _ = write_ca(plant.folder, "other")
    right = plant.ca.read_bytes()
    plant.ca.write_bytes(other.read_bytes())
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("tls"))
    assert not plant.server.requests
    plant.ca.write_bytes(right)
    wait_until(lambda: directory.status().is_current)


def test_a_certificate_for_another_address_is_refused(plant: Plant) -> None:
    plant.access = ServiceAccount(plant.folder, plant.server.url.replace("127.0.0.1", "localhost"))
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("tls"))
    assert not plant.server.requests


def test_a_server_that_is_gone_comes_back(plant: Plant) -> None:
    plant.add(1)
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch"))
    plant.server.stop()
    wait_until(lambda: errors(directory).get("connection", 0) >= 3)
    assert not directory.status().is_current
    assert name_of(directory, uid(0)) == "pod-0"
    plant.server.start()
    plant.server.change("ADDED", pod(1, 1))
    wait_until(lambda: name_of(directory, uid(1)))
    assert directory.status().is_current


@pytest.mark.parametrize("where", ["amid a watch", "before an answer", "amid the handshake", "amid a wait"])
def test_closing_does_not_wait_for_the_server(plant: Plant, where: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if where == "amid the handshake":
            plant.access = ServiceAccount(plant.folder, f"https://127.0.0.1:{silent.getsockname()[1]}")
        faults = {"before an answer": [hang], "amid a wait": [status(500)]}
        plant.server.faults["list"].extend(faults.get(where, []))
        directory = plant.follow(Backoff(60.0, 60.0))
        if where == "amid the handshake":
            wait_until(lambda: select.select([silent], [], [], 0)[0])
        else:
            wait_until(lambda: plant.server.count("watch" if where == "amid a watch" else "list"))
        time.sleep(0.1)
        began = time.monotonic()
        directory.close()
        assert time.monotonic() - began < 0.5
        assert not directory._thread.is_alive()
        assert not errors(directory) or where == "amid a wait"


def test_lookups_never_wait(plant: Plant) -> None:
    plant.server.faults["list"].append(hang)
    directory = plant.follow()
    wait_until(lambda: plant.server.count("list"))
    began = time.monotonic()
    for n in range(1000):
        assert directory.lookup(uid(n)) is None
    assert time.monotonic() - began < 0.5


def kubeconfig(plant: Plant, **user: str) -> Path:
    ca = base64.b64encode(plant.ca.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": plant.server.url, "certificate-authority-data": ca}}
        ],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = plant.folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_kubeconfig_will_do(plant: Plant) -> None:
    plant.add(1)
    plant.access = Kubeconfig(kubeconfig(plant, token=TOKEN))
    directory = plant.follow()
    wait_until(lambda: name_of(directory, uid(0)))
    assert not errors(directory)


def test_a_kubeconfig_whose_token_was_refused_is_read_again(plant: Plant) -> None:
    plant.access = Kubeconfig(kubeconfig(plant, token="expired"))
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("unauthorized"))
    kubeconfig(plant, token=TOKEN)
    wait_until(lambda: directory.status().is_current)


@pytest.mark.parametrize("content", ["", "[", "clusters: 7", "current-context: x", f"token: '{TOKEN}"])
def test_a_broken_kubeconfig_is_named_without_what_it_holds(
    plant: Plant, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = plant.folder / "kubeconfig"
    file.write_text(content)
    plant.access = Kubeconfig(file)
    directory = plant.follow()
    wait_until(lambda: f"the kubeconfig {file} cannot be used" in caplog.text)
    assert errors(directory).get("credentials")
    kubeconfig(plant, token=TOKEN)
    wait_until(lambda: directory.status().is_current)


def test_a_token_that_cannot_be_sent_is_not_repeated(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    plant.access = Kubeconfig(kubeconfig(plant, token="s3c\nr3t"))
    directory = plant.follow()
    wait_until(lambda: errors(directory).get("credentials"))
    assert "s3c" not in caplog.text
    assert not plant.server.requests


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_faults_leave_no_descriptor_open(plant: Plant) -> None:
    directory = plant.follow()
    wait_until(lambda: plant.server.count("watch"))
    before = descriptors()
    directory.close()
    plant.server.faults["watch"].extend([status(410), stream(HALF_A_LINE, is_cut=True)] * 20)
    directory = plant.follow(Backoff(0.002, 0.01))
    wait_until(lambda: plant.server.count("watch") > 40 and directory.status().is_current)
    wait_until(lambda: descriptors() <= before + 1)
