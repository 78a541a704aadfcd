"""What podjoule with pins leaves on a node, how it is taken back, and what happens where it cannot pin."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebpf.program import HOOKS, PINNED_MAPS
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import NODE_NAME, ROOT
from tests.e2e.kubernetes.exporters import doctor, exporter_pid
from tests.e2e.kubernetes.releases import NAMESPACE as RELEASES
from tests.e2e.kubernetes.releases import REPOSITORY, TAG, Release
from tests.e2e.kubernetes.truth import Truth
from tests.live.in_kernel import assert_gone, in_kernel, still_there
from tests.programs import program

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs/kubernetes.md").read_text()
SETTLE_SECONDS = 20.0

MakeRelease = Callable[..., Release]


@pytest.fixture(scope="module")
def release(make_release: MakeRelease, bpffs: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """podjoule with pins."""
    values = _values(tmp_path_factory.mktemp("node"), f"{bpffs}/pinned")
    made = make_release("pinned", values=values)
    made.wait()
    return made


@pytest.fixture(scope="module")
def uninstalled(release: Release, truth: Truth) -> set[tuple[str, int]]:
    """Everything of BPF that the exporter held, once helm has taken the release away."""
    held = in_kernel(exporter_pid(release, truth))
    release.uninstall()
    return held


def test_uninstall_leaves_what_the_page_says(uninstalled: set[tuple[str, int]], bpffs: Path) -> None:
    (layout,) = (bpffs / "pinned").iterdir()
    assert {path.name for path in layout.iterdir()} == {*PINNED_MAPS, *(f"link_{hook}" for hook in HOOKS)}
    # The pins are asked, not what is left: a map that nobody holds goes a little later, between two looks.
    links = [_shown("link", "pinned", layout / f"link_{hook}") for hook in HOOKS]
    maps = [_shown("map", "pinned", layout / name) for name in PINNED_MAPS]
    programs = [_shown("prog", "id", each["prog_id"]) for each in links]
    assert f"{len(programs)} programs with their links and maps" in _section("Uninstall")
    assert sorted(each["name"] for each in programs) == sorted(HOOKS)
    used = {number for each in programs for number in each["map_ids"]}
    # Where CPUs sit is read by a program that is run by us, and is not pinned.
    assert {each["name"] for each in maps if each["id"] not in used} == {"places"}
    held = {("map", number) for number in used}
    for kind, found in (("link", links), ("map", maps), ("prog", programs)):
        held |= {(kind, each["id"]) for each in found}
    deadline = time.monotonic() + SETTLE_SECONDS
    while still_there(uninstalled) - held and time.monotonic() < deadline:
        time.sleep(0.1)
    assert still_there(uninstalled) == held


def test_the_command_of_the_page_removes_it_afterwards(
    uninstalled: set[tuple[str, int]], cluster: Cluster, bpffs: Path
) -> None:
    told = _documented("kubectl debug node/NODE")
    image = f"{REPOSITORY}:{TAG}"
    told = told.replace("NODE", NODE_NAME).replace("REGISTRY/podjoule:0.1.0", image)
    try:
        print(cluster.run("sh", "-c", told.replace("/host/sys/fs/bpf/podjoule", f"/host{bpffs}/pinned")))
        assert_gone(uninstalled)
    finally:
        cluster.run("sh", "-c", _documented("kubectl delete pod --selector"))
    assert not (bpffs / "pinned").exists()


def test_the_loop_of_the_page_takes_everything_back_before_helm_does(
    uninstalled: set[tuple[str, int]], release: Release, truth: Truth, bpffs: Path
) -> None:
    release.install()
    release.wait()
    held = in_kernel(exporter_pid(release, truth))
    told = _documented("for pod in").replace("--namespace podjoule", f"--namespace {RELEASES}")
    told = told.replace("instance=podjoule", f"instance={release.name}")
    removed = release.cluster.run("sh", "-c", told)
    assert removed.count("removed ") == len(HOOKS) + len(PINNED_MAPS)
    release.uninstall()
    assert_gone(held)
    assert list((bpffs / "pinned").iterdir()) == []


def test_elsewhere_than_on_a_bpffs_it_runs_and_says_so(make_release: MakeRelease, tmp_path: Path) -> None:
    release = make_release("no-bpffs", values=_values(tmp_path, f"{tmp_path}/podjoule"))
    try:
        release.wait()
        assert "nothing is pinned: /host/sys/fs/bpf/podjoule: " in release.log()
        assert 'source="core"' in release.metrics()
        assert doctor(release)["pins"].startswith("warn ")
    finally:
        release.uninstall()


def test_where_no_bpffs_is_mounted_an_event_of_the_pod_says_so(
    make_release: MakeRelease, tmp_path: Path
) -> None:
    """A sysfs is there, in which nobody makes a directory."""
    release = make_release("no-mount", values=_values(tmp_path, "/sys/kernel/podjoule"))
    try:
        deadline = time.monotonic() + 60
        expected = 'MountVolume.SetUp failed for volume "pins" : mkdir /sys/kernel/podjoule: '
        assert expected.partition(" : mkdir")[0] in re.sub(r"\s+", " ", PAGE)
        while expected not in (told := _events(release)):
            assert time.monotonic() < deadline, told
            time.sleep(1)
    finally:
        release.uninstall()


def _values(state: Path, pins: str) -> dict[str, Any]:
    return {
        "resources": {"requests": {"cpu": "50m"}},
        "continuity": {"enabled": True, "pinPath": pins},
        "state": {"hostPath": f"{state}/state"},
    }


def _events(release: Release) -> str:
    options = ("--field-selector", "reason=FailedMount", "-o", "jsonpath={.items[*].message}")
    return release.cluster.kubectl("-n", RELEASES, "get", "events", *options)


def _shown(kind: str, by: str, value: object) -> dict[str, Any]:
    """What bpftool says of a program, link or map, by its id or where it is pinned."""
    command = [program("bpftool"), "-j", kind, "show", by, str(value)]
    shown: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return shown


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _documented(beginning: str) -> str:
    """The command of the page that begins so; an indented block, to its end."""
    blocks = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    (found,) = (block for block in blocks if block.lstrip().startswith(beginning))
    return found
