"""Names of containers without Kubernetes, from trees laid out as docker and podman lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.names.container_names import ContainerNames, host_root
from tests.exporter.names.counted_files import CountedFiles

ID = "26f7d4a96911f1abb549d0c8690ce8d20ff52bb64b8ed92c7cf51a233f76923b"
OTHER = "c54c19fd9ebbc8293b350043a5bfe9b0c787b5161dba800d078947db8a35272f"
STORE = "var/lib/containers/storage"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def docker(root: Path, container_id: str, name: str, store: str = "var/lib/docker") -> Path:
    config = {"ID": container_id, "Name": name, "State": {"Running": True}}
    return write(root / store / "containers" / container_id / "config.v2.json", json.dumps(config))


def podman(root: Path, names: dict[str, str], store: str = STORE, record: str = "containers.json") -> Path:
    """A record as podman 4.3.1 writes it."""
    records = [
        {"id": container_id, "names": [name], "image": "", "layer": "ad0d", "flags": {"Volatile": True}}
        for container_id, name in names.items()
    ]
    return write(root / store / "overlay-containers" / record, json.dumps(records))


def test_docker_keeps_a_file_a_container(tmp_path: Path) -> None:
    docker(tmp_path, ID, "/web")
    assert ContainerNames(tmp_path).lookup(ID) == "web"


def test_rootless_docker(tmp_path: Path) -> None:
    docker(tmp_path, ID, "/web", store="home/eva/.local/share/docker")
    assert ContainerNames(tmp_path).lookup(ID) == "web"


@pytest.mark.parametrize(
    ("store", "record"),
    [
        (STORE, "containers.json"),
        (STORE, "volatile-containers.json"),
        ("run/containers/storage", "volatile-containers.json"),
        ("home/eva/.local/share/containers/storage", "containers.json"),
        ("run/user/1000/containers", "volatile-containers.json"),
    ],
)
def test_podman_keeps_a_record_a_store(tmp_path: Path, store: str, record: str) -> None:
    podman(tmp_path, {OTHER: "db", ID: "web"}, store, record)
    assert ContainerNames(tmp_path).lookup(ID) == "web"


def test_storage_conf_moves_the_store(tmp_path: Path) -> None:
    write(tmp_path / "etc/containers/storage.conf", '[storage]\ngraphroot = "/srv/pods"\n')
    podman(tmp_path, {ID: "web"}, "srv/pods")
    assert ContainerNames(tmp_path).lookup(ID) == "web"


@pytest.mark.parametrize("conf", ["[storage", "storage = 3", "[storage]\ngraphroot = 3\n"])
def test_an_odd_storage_conf_costs_nothing_else(tmp_path: Path, conf: str) -> None:
    write(tmp_path / "etc/containers/storage.conf", conf)
    podman(tmp_path, {ID: "web"})
    assert ContainerNames(tmp_path).lookup(ID) == "web"


def test_where_there_is_nothing_there_is_no_name_and_no_error(tmp_path: Path) -> None:
    names = ContainerNames(tmp_path)
    assert names.lookup(ID) == ""
    assert names.errors == 0


def test_a_container_that_starts_later_is_found(tmp_path: Path) -> None:
    podman(tmp_path, {OTHER: "db"})
    names = ContainerNames(tmp_path, Clock())
    assert names.lookup(ID) == ""
    podman(tmp_path, {OTHER: "db", ID: "web"})
    names.look_again()
    assert names.lookup(ID) == "web"


def test_a_container_is_found_that_came_since_the_last_look(tmp_path: Path) -> None:
    docker(tmp_path, OTHER, "/db")
    names = ContainerNames(tmp_path, Clock())
    assert names.lookup(ID) == ""
    docker(tmp_path, ID, "/web")
    names.look_again()
    assert names.lookup(ID) == "web"


def test_a_config_that_comes_after_its_folder_is_found(tmp_path: Path) -> None:
    folder = tmp_path / f"var/lib/docker/containers/{ID}"
    folder.mkdir(parents=True)
    names = ContainerNames(tmp_path, Clock())
    assert names.lookup(ID) == ""
    docker(tmp_path, ID, "/web")
    assert names.lookup(ID) == "web"


def test_a_thousand_without_a_file_cost_no_more_than_one(tmp_path: Path) -> None:
    for home in ("anna", "eva"):
        docker(tmp_path, OTHER, "/db", store=f"home/{home}/.local/share/docker")
    podman(tmp_path, {OTHER: "db"})
    looks = []
    for count in (1, 1_000):
        files = CountedFiles()
        names = ContainerNames(tmp_path, Clock(), files)
        assert {names.lookup(f"{number:064x}") for number in range(count)} == {""}
        looks.append(files.looks)
    assert looks[0] == looks[1]
    assert tmp_path / "home/eva/.local/share/docker/containers" in looks[0]


def test_a_look_again_asks_each_store_once_and_none_for_a_container(tmp_path: Path) -> None:
    docker(tmp_path, OTHER, "/db")
    record = podman(tmp_path, {OTHER: "db"})
    files = CountedFiles()
    names = ContainerNames(tmp_path, Clock(), files)
    names.lookup(ID)
    files.looks.clear()
    names.look_again()
    assert files.looks == [], "nobody is asked for yet"
    for number in range(1_000):
        names.lookup(f"{number:064x}")
    assert sorted(files.looks) == sorted(dict.fromkeys(files.looks))
    assert {record, tmp_path / "var/lib/docker/containers"} < set(files.looks)
    assert not [path for path in files.looks if path.name == "config.v2.json"]


def test_stores_are_looked_for_at_most_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    names = ContainerNames(tmp_path, clock)
    assert names.lookup(ID) == ""
    podman(tmp_path, {ID: "web"})
    clock.now = 0.9
    names.look_again()
    assert names.lookup(ID) == ""
    clock.now = 1.0
    names.look_again()
    assert names.lookup(ID) == "web"


def test_a_record_that_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman(tmp_path, {OTHER: "db"})
    clock = Clock()
    names = ContainerNames(tmp_path, clock)
    names.lookup(ID)
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("read again"))
    for clock.now in range(1, 10):
        names.look_again()
        assert names.lookup(ID) == ""


def test_a_name_outlives_the_container_until_it_is_forgotten(tmp_path: Path) -> None:
    podman(tmp_path, {ID: "web"})
    names = ContainerNames(tmp_path)
    assert names.lookup(ID) == "web"
    podman(tmp_path, {})
    names.look_again()
    assert names.lookup(ID) == "web"
    names.forget(ID)
    names.forget(ID)
    assert names.lookup(ID) == ""


GARBLED = ['{"Name": ', "", "null", "[]", '"x"', '{"Name": 3}', "[[[", "[" * 100_000, '[{"id": 1}]', "\xff"]


@pytest.mark.parametrize("text", GARBLED)
def test_a_garbled_docker_file_costs_its_name_alone(tmp_path: Path, text: str) -> None:
    docker(tmp_path, ID, "/web").write_text(text, encoding="latin-1")
    docker(tmp_path, OTHER, "/db")
    names = ContainerNames(tmp_path)
    assert names.lookup(ID) == ""
    assert names.lookup(OTHER) == "db"


@pytest.mark.parametrize("text", GARBLED)
def test_a_garbled_podman_record_costs_its_names_alone(tmp_path: Path, text: str) -> None:
    podman(tmp_path, {}).write_text(text, encoding="latin-1")
    podman(tmp_path, {OTHER: "db"}, record="volatile-containers.json")
    names = ContainerNames(tmp_path)
    assert names.lookup(ID) == ""
    assert names.lookup(OTHER) == "db"


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    docker(tmp_path, ID, "/web").write_text("{")
    (tmp_path / STORE / "overlay-containers/containers.json").mkdir(parents=True)
    names = ContainerNames(tmp_path)
    assert names.lookup(ID) == ""
    assert names.errors == 2


@pytest.mark.parametrize("container_id", ["", "web", f"../{ID}", "*" * 64, ID.upper()])
def test_nothing_but_an_id_becomes_a_path(tmp_path: Path, container_id: str) -> None:
    docker(tmp_path, ID, "/web")
    assert ContainerNames(tmp_path).lookup(container_id) == ""


def test_without_the_hosts_file_system_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(Path, "glob", lambda *arguments: looked.append(arguments) or [])
    monkeypatch.setattr(Path, "read_text", lambda *arguments, **_: looked.append(arguments) or "")
    assert ContainerNames(None).lookup(ID) == ""
    assert looked == []


def test_a_pod_does_not_see_the_hosts_file_system() -> None:
    assert host_root(Path("/proc"), {}) == Path("/")
    assert host_root(Path("/proc"), {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}) is None


def test_a_pod_sees_it_where_it_is_mounted_around_its_procfs() -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert host_root(Path("/host/proc"), environ) == Path("/host")


@pytest.mark.parametrize(
    "store",
    [
        "var/lib/docker/100000.100000",
        "var/snap/docker/common/var-lib-docker",
        "srv/users/anna/.local/share/docker",
        "root/.local/share/docker",
        "data/docker",
        "data/docker/165536.165536",
        "scratch/anna/docker",
    ],
)
def test_docker_wherever_its_configuration_puts_it(tmp_path: Path, store: str) -> None:
    write(
        tmp_path / "etc/passwd", "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/srv/users/anna:/bin/sh\nodd\n"
    )
    write(tmp_path / "etc/docker/daemon.json", json.dumps({"data-root": "/data/docker"}))
    rootless = tmp_path / "srv/users/anna/.config/docker/daemon.json"
    write(rootless, json.dumps({"data-root": "/scratch/anna/docker"}))
    docker(tmp_path, ID, "/web", store=store)
    assert ContainerNames(tmp_path).lookup(ID) == "web"


@pytest.mark.parametrize(
    ("store", "conf", "text"),
    [
        ("var/lib/ci/.local/share/containers/storage", "", ""),
        ("scratch/cy", "home/cy/.config/containers/storage.conf", '[storage]\ngraphroot="/scratch/cy"\n'),
        ("home/cy/pods", "home/cy/.config/containers/storage.conf", '[storage]\ngraphroot="$HOME/pods"\n'),
        ("fast/ci", "etc/containers/storage.conf", '[storage]\nrootless_storage_path="/fast/$USER"\n'),
    ],
)
def test_podman_wherever_its_configuration_puts_it(tmp_path: Path, store: str, conf: str, text: str) -> None:
    write(tmp_path / "etc/passwd", "ci:x:1001:1001::/var/lib/ci:/bin/sh\n")
    (tmp_path / "home/cy").mkdir(parents=True)
    if conf:
        write(tmp_path / conf, text)
    podman(tmp_path, {ID: "web"}, store=store)
    assert ContainerNames(tmp_path).lookup(ID) == "web"


@pytest.mark.parametrize("text", ["{", "[]", '{"data-root": 7}', '{"data-root": "\\u0000"}'])
def test_a_daemon_json_that_cannot_be_understood_costs_its_place_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path / "etc/docker/daemon.json", text)
    docker(tmp_path, ID, "/web")
    assert ContainerNames(tmp_path).lookup(ID) == "web"


def test_a_container_that_is_renamed_keeps_its_name_for_life(tmp_path: Path) -> None:
    docker(tmp_path, ID, "/web")
    names = ContainerNames(tmp_path)
    assert names.lookup(ID) == "web"
    docker(tmp_path, ID, "/other")
    names.look_again()
    assert names.lookup(ID) == "web"
