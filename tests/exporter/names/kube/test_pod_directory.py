"""Who is asked for the names of pods, and what it costs to ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.configuration.option_tree import Kube
from exporter.names.kube.backoff import Backoff
from exporter.names.kube.directory import open_pods
from exporter.names.pods import NoPods, PodDirectory
from tests.exporter.names.kube.kube_plant import LEFT_BY_SSL, Plant, wait_until
from tests.exporter.names.kube.kube_server import uid

pytestmark = pytest.mark.filterwarnings(f"ignore:{LEFT_BY_SSL}:ResourceWarning")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    made.add(1)
    yield made
    made.close()


def in_pod(plant: Plant) -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": plant.server.port}


def opened(plant: Plant, kube: Kube, environ: dict[str, str]) -> PodDirectory:
    directory = open_pods(kube, environ, plant.folder)
    if not isinstance(directory, NoPods):
        plant.directory = directory  # type: ignore[assignment]
    return directory


@pytest.mark.parametrize("enabled", ["auto", "true"])
def test_in_a_pod_the_api_server_is_asked(plant: Plant, enabled: str) -> None:
    directory = opened(plant, Kube(node_name="node7", enabled=enabled), in_pod(plant))
    wait_until(lambda: directory.lookup(uid(0)))
    assert plant.server.requests[0][1].query["fieldSelector"] == "spec.nodeName=node7"


def test_a_hosts_name_in_capitals_is_asked_for_as_kubernetes_has_it(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    directory = opened(plant, Kube(node_name="vmss00000Q", enabled="true"), in_pod(plant))
    wait_until(lambda: directory.lookup(uid(0)))
    assert plant.server.requests[0][1].query["fieldSelector"] == "spec.nodeName=vmss00000q"
    assert "kube.nodeName vmss00000Q: names of nodes are in lower case" in caplog.text


def test_in_kubelet_mode_the_kubelet_is_asked_also_without_a_service_address(plant: Plant) -> None:
    kube = Kube(enabled="true", mode="kubelet", kubelet_address=plant.server.url)
    directory = opened(plant, kube, {})
    wait_until(lambda: directory.lookup(uid(0)))
    assert plant.server.count("pods")
    assert not plant.server.count("list")


def test_an_insecure_kubelet_is_warned_of(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    kube = Kube(mode="kubelet", kubelet_address=plant.server.url, kubelet_insecure=True)
    directory = opened(plant, kube, in_pod(plant))
    wait_until(lambda: directory.lookup(uid(0)))
    assert "kube.kubeletInsecure: whoever answers at" in caplog.text


@pytest.mark.parametrize(
    ("enabled", "host", "has_token"),
    [("false", "127.0.0.1", True), ("auto", "", True), ("auto", "127.0.0.1", False), ("auto", "", False)],
)
def test_nobody_is_asked(plant: Plant, enabled: str, host: str, has_token: bool) -> None:
    if not has_token:
        (plant.folder / "token").unlink()
    directory = opened(plant, Kube(enabled=enabled), {"KUBERNETES_SERVICE_HOST": host})
    assert directory.status() is None
    assert directory.lookup(uid(0)) is None
    directory.close()


def test_a_pod_without_a_token_is_warned_of(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    (plant.folder / "token").unlink()
    opened(plant, Kube(), in_pod(plant))
    assert "automountServiceAccountToken" in caplog.text


def test_what_must_be_asked_and_cannot_be_is_wrong_usage(plant: Plant) -> None:
    with pytest.raises(UsageError, match=r"\$KUBERNETES_SERVICE_HOST is not set.*kube.config"):
        opened(plant, Kube(enabled="true"), {})
    (plant.folder / "token").unlink()
    with pytest.raises(UsageError, match=r"there is no token at .*automountServiceAccountToken"):
        opened(plant, Kube(enabled="true"), in_pod(plant))
    with pytest.raises(UsageError, match="wanted a kubeconfig file, found none at /nowhere"):
        opened(plant, Kube(config=Path("/nowhere")), in_pod(plant))


def test_an_address_of_version_6_is_written_in_brackets(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    opened(plant, Kube(), {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "1"})
    wait_until(lambda: "connection: " in caplog.text)
    assert "credentials" not in caplog.text


def test_waiting_doubles_and_is_spread() -> None:
    early, late = Backoff(1.0, 8.0, lambda: 0.0), Backoff(1.0, 8.0, lambda: 1.0)
    assert [early.delay() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    assert [late.delay() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert early.delay(60.0) == 60.0
    early.reset()
    assert early.delay() == 0.5


IN_A_POD = """
import sys
from pathlib import Path
from exporter.names.kube.access import ServiceAccount
from exporter.names.kube.client import Client, Endpoint, Timeouts
client = Client(Endpoint(ServiceAccount(Path(sys.argv[1]), sys.argv[2])))
with client.get("/api/v1/pods", {}, Timeouts()) as chunks:
    assert b"".join(chunks).startswith(b"{")
assert "urllib3" in sys.modules
assert not {"kubernetes", "requests", "pydantic", "urllib.request"} & set(sys.modules)
"""


def test_in_a_pod_the_official_client_is_not_imported(plant: Plant) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_POD, str(plant.folder), plant.server.url], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_without_kubernetes_the_client_is_not_imported() -> None:
    code = (
        "import exporter.names.kube.directory, sys; assert not {'kubernetes', 'urllib3'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
