"""deploy/compose.yaml: what it says by itself, and podjoule and Prometheus started by it with podman.

Grafana is not to be had where there is no registry: what it is given is held to what it reads.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ebpf.version import VERSION
from tests import releases
from tests.e2e.cluster.images import write_archive
from tests.live.podman import LIMITS, PODMAN, remove_parents
from tests.live.sandbox import run_tag
from tests.programs import program

DEPLOY = releases.ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
OURS, PROMETHEUS = "localhost/podjoule:of-this-release", "localhost/prometheus:of-debian"
PROJECT = "podjoule-composed"
# In one network namespace: a container's own network takes rights that not every machine has. And
# podman's seccomp profile of Debian 12 knows CAP_BPF not yet. What is scraped, and how often, stays as it is.
OVERRIDE = """
services:
  prometheus:
    extra_hosts: ["podjoule:127.0.0.1"]
    network_mode: none
    networks: !reset null
    ports: !reset []
    restart: "no"
  podjoule:
    depends_on: [prometheus]
    network_mode: "service:prometheus"
    networks: !reset null
    restart: "no"
    security_opt: ["seccomp=unconfined"]
"""


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The file as a compose implementation reads it."""
    done = compose("-f", str(COMPOSE), "config")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    return subprocess.run(
        [program("podman-compose"), *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_every_service_has_the_least_rights(composed: dict[str, Any]) -> None:
    added = {name: service.get("cap_add", []) for name, service in composed["services"].items()}
    assert added == {"podjoule": ["BPF", "PERFMON"], "prometheus": [], "grafana": []}
    for name, service in composed["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "pid", "network_mode", "devices"} & service.keys(), name


def test_the_host_is_only_read_and_nothing_listens_beyond_it(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for source, _, *options in (volume.split(":") for volume in service["volumes"]):
            assert options == ["ro"] or source in composed["volumes"], f"{name}: {source}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    assert composed["services"]["podjoule"]["networks"] == ["inside"]
    assert composed["networks"]["inside"]["internal"]


def test_images_are_named_by_tag_in_one_place(composed: dict[str, Any]) -> None:
    text = COMPOSE.read_text()
    for name, service in composed["services"].items():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", service["image"]), name
        assert text.count(service["image"]) == 1
        assert f"image: *{name}\n" in text
    assert composed["services"]["podjoule"]["image"] == f"podjoule:{VERSION}"


def test_every_file_that_it_mounts_is_there(composed: dict[str, Any]) -> None:
    mounted = [volume for service in composed["services"].values() for volume in service["volumes"]]
    relative = [volume.split(":")[0] for volume in mounted if volume.startswith("./")]
    assert len(relative) == 4
    for path in relative:
        assert (DEPLOY / path).exists(), path


def test_grafana_finds_its_data_source_and_dashboards_where_it_is_told(composed: dict[str, Any]) -> None:
    grafana = composed["services"]["grafana"]
    places = {
        place: DEPLOY / source for source, place, *_ in (each.split(":") for each in grafana["volumes"])
    }
    provisioning = places["/etc/grafana/provisioning"]
    (source,) = _provisioned(provisioning / "datasources", grafana["environment"])["datasources"]
    (provider,) = _provisioned(provisioning / "dashboards", grafana["environment"])["providers"]
    server, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert server in composed["services"]
    assert composed["services"][server]["ports"][0].endswith(f":{port}")
    assert set(grafana["networks"]) & set(composed["services"][server]["networks"])
    dashboards = [json.loads(path.read_text()) for path in places[provider["options"]["path"]].glob("*.json")]
    assert len({dashboard["uid"] for dashboard in dashboards}) == len(dashboards) == 4
    interval = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval


def _provisioned(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Its one file, with the variables of the environment in it as Grafana reads them."""
    (path,) = folder.iterdir()
    text = re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], path.read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_promtool_takes_prometheus_configuration_with_the_rules(tmp_path: Path) -> None:
    text = (DEPLOY / "compose/prometheus.yaml").read_text()
    (tmp_path / "rules").mkdir()
    shutil.copy(DEPLOY / "prometheus/rules.yaml", tmp_path / "rules")
    (tmp_path / "prometheus.yaml").write_text(text.replace("/etc/prometheus", str(tmp_path)))
    done = subprocess.run(
        [program("promtool"), "check", "config", tmp_path / "prometheus.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout


@dataclass(frozen=True)
class Composed:
    """podjoule and Prometheus, started by the file."""

    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        containers, run = " ".join(PODMAN[1:]), f"--label=run={run_tag()} {' '.join(LIMITS)}"
        return compose(
            *("--in-pod=false", "-p", PROJECT, "-f", str(COMPOSE), "-f", str(self.folder / "override.yaml")),
            *(f"--podman-args={containers}", f"--podman-run-args={run}", *arguments),
            PODJOULE_IMAGE=OURS,
            PROMETHEUS_IMAGE=PROMETHEUS,
            CONTAINERS=str(self.folder),
        )

    def log(self, service: str) -> str:
        done = podman("logs", f"{PROJECT}_{service}_1")
        return done.stdout + done.stderr

    def get(self, url: str) -> str:
        """What a URL answers within the containers' network; "" where nobody does."""
        pid = podman("inspect", "--format={{.State.Pid}}", f"{PROJECT}_podjoule_1").stdout.strip()
        ask = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=10).read().decode())"
        inside = [program("nsenter"), f"--target={pid}", "--net", sys.executable, "-c", ask]
        return subprocess.run(inside, capture_output=True, text=True, check=False).stdout

    def query(self, promql: str) -> list[dict[str, Any]]:
        text = self.get(f"http://127.0.0.1:9090/api/v1/query?{urllib.parse.urlencode({'query': promql})}")
        found: list[dict[str, Any]] = json.loads(text)["data"]["result"] if text else []
        return found


def podman(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [program("podman"), *PODMAN[1:], *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = tmp_path_factory.mktemp("composed")
    (folder / "override.yaml").write_text(OVERRIDE)
    _have_images(folder)
    started = Composed(folder)
    try:
        up = started.run("up", "--detach", "--no-build", "podjoule", "prometheus")
        assert up.returncode == 0, up.stderr
        yield started
    finally:
        started.run("down", "--volumes", "--timeout=5")
        podman("rmi", "--force", OURS, PROMETHEUS)
        remove_parents()


def _have_images(folder: Path) -> None:
    """Ours of the release, and one of Debian's Prometheus with the libraries that it asks for."""
    pulled = podman("pull", "--quiet", f"oci:image:{VERSION}", folder=releases.released())
    assert pulled.returncode == 0, pulled.stderr
    podman("tag", pulled.stdout.strip().splitlines()[-1], OURS)
    binary = Path(program("prometheus")).resolve()
    libraries = re.findall(
        r"(/\S+) \(", subprocess.run([program("ldd"), binary], capture_output=True, text=True).stdout
    )
    files = {path.lstrip("/"): Path(path).read_bytes() for path in libraries}
    write_archive(
        folder / "prometheus.tar",
        PROMETHEUS,
        "/bin/prometheus",
        {"bin/prometheus": binary.read_bytes(), **files},
    )
    loaded = podman("load", "--quiet", "--input", str(folder / "prometheus.tar"))
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.e2e
@pytest.mark.timeout(releases.LONGEST_SECONDS)
def test_one_command_starts_podjoule_and_a_prometheus_that_scrapes_it(running: Composed) -> None:
    deadline, found = time.monotonic() + 120, list[dict[str, Any]]()
    while not found and time.monotonic() < deadline:
        found = running.query("kepler_node_cpu_joules_total > 0")
        time.sleep(1)
    assert found, running.log("podjoule") + running.log("prometheus")
    assert {each["metric"]["node_name"] for each in found} == {"this-machine"}
    assert running.query('up{job="podjoule"}')[0]["value"][1] == "1"
    assert "podjoule" in running.get("http://127.0.0.1:9090/api/v1/rules")


@pytest.mark.e2e
@pytest.mark.timeout(releases.LONGEST_SECONDS)
def test_it_counts_in_the_kernel_with_the_rights_that_the_file_gives(running: Composed) -> None:
    log = running.log("podjoule")
    assert "Traceback" not in log
    assert not re.search("not effective|Permission denied|cpu.stat", log), log
    source = running.query("podjoule_build_info")
    assert source
    assert source[0]["metric"]["version"] == VERSION
    state = podman("volume", "inspect", f"{PROJECT}_state", "--format={{.Mountpoint}}").stdout.strip()
    assert list(Path(state).iterdir()), "nothing is kept for the next start"
