"""What a machine's own podjoule counts is what the host billed it, whatever happens to either of them."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.meters.host_tree import MARK, SCHEMA
from exporter.configuration.config import Config
from exporter.configuration.guest_options import Vm
from exporter.guests.emulators import Emulator
from exporter.guests.opening import open_guests
from exporter.guests.tree import RANGE_UJ
from exporter.names.pods import ContainerInfo, PodInfo
from tests.exporter.guests.hosts import DB, UUIDS, WEB, Guest, Host
from tests.exporter.names.test_naming import FakePods
from tests.exporter.nodes import UID, in_pod

MICROJOULE = 1.001e-6


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {zone: joules - before.get(zone, 0.0) for zone, joules in after.items()}


def watched(tmp_path: Path) -> tuple[Host, Guest, dict[str, float]]:
    """A host at work, a guest of it that reads from now on, and what it was billed before."""
    host = Host(tmp_path, WEB)
    host.work()
    return host, Guest(host.tree(WEB)), host.billed(WEB)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def assert_same(guest: Mapping[str, float], billed: Mapping[str, float]) -> None:
    assert guest == pytest.approx(billed, abs=MICROJOULE)


@pytest.mark.parametrize("idle_policy", ["none", "proportional"])
def test_a_guest_counts_what_its_host_billed_it(tmp_path: Path, idle_policy: str) -> None:
    host = Host(tmp_path, WEB, DB, idle_policy=idle_policy)
    host.work()
    web, before = Guest(host.tree(WEB)), host.billed(WEB)
    for _ in range(12):
        host.work()
        web.tick()
    billed = grown(before, host.billed(WEB))
    assert billed["package"] == pytest.approx(12 * (150.0 if idle_policy != "none" else 130.0) / 3)
    assert_same(web.joules, billed)
    assert web.energy.errors() == dict.fromkeys(web.energy.errors(), 0)


def test_the_tree_is_as_the_kernels(tmp_path: Path) -> None:
    host = Host(tmp_path, WEB)
    host.work()
    tree = host.tree(WEB)
    assert sorted(path.name for path in tree.iterdir()) == ["intel-rapl:0", "intel-rapl:0:2", MARK]
    texts = {path.name: path.read_text() for path in (tree / "intel-rapl:0").iterdir()}
    assert texts == {
        "name": "package-0\n",
        "energy_uj": f"{host.counter_uj(WEB)}\n",
        "max_energy_range_uj": f"{RANGE_UJ}\n",
    }
    assert (tree / "intel-rapl:0:2/name").read_text() == "dram\n"
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tree.glob("*/*"))
    assert json.loads((tree / MARK).read_text())["source"] == "rapl"


def prepare(tree: Path, **base_uj: int) -> None:
    """As an administrator makes it before the machine starts, here with counters that are told."""
    tree.mkdir()
    if base_uj:
        (tree / MARK).write_text(json.dumps({"schema": SCHEMA, "base_uj": base_uj}))


def test_counters_that_wrap_lose_nothing(tmp_path: Path) -> None:
    prepare(tmp_path / UUIDS[WEB], package=RANGE_UJ - 100_000_000, dram=RANGE_UJ - 10_000_000)
    host = Host(tmp_path, WEB)
    host.work()
    web, before, first_uj = Guest(host.tree(WEB)), host.billed(WEB), host.counter_uj(WEB)
    for _ in range(4):
        host.work()
        web.tick()
    assert host.counter_uj(WEB) < first_uj
    assert_same(web.joules, grown(before, host.billed(WEB)))


def test_what_is_prepared_for_a_machine_is_there_when_it_starts(tmp_path: Path) -> None:
    prepare(tmp_path / UUIDS[WEB], package=5_000_000, dram=7_000_000)
    host = Host(tmp_path)
    host.work()
    host.begin(WEB)
    host.work()
    billed = host.billed(WEB)
    assert host.counter_uj(WEB) == pytest.approx(5e6 + billed["package"] * 1e6, abs=1)
    assert host.counter_uj(WEB, "intel-rapl:0:2") == pytest.approx(7e6 + billed["dram"] * 1e6, abs=1)


def test_another_process_on_the_host_goes_on_from_where_the_counters_stand(tmp_path: Path) -> None:
    host, web, before = watched(tmp_path)
    host.work()
    first = grown(before, host.billed(WEB))
    host.start()
    for _ in range(3):
        host.work()
        web.tick()
    second = host.billed(WEB)
    assert_same(web.joules, {zone: first[zone] + second[zone] for zone in second})
    assert web.energy.errors()["gap"] == 0


def test_a_guest_that_reads_late_gets_all_of_it(tmp_path: Path) -> None:
    host, web, before = watched(tmp_path)
    for _ in range(30):
        host.work(120.0)
    web.tick(3_600.0)
    host.work()
    web.tick()
    assert_same(web.joules, grown(before, host.billed(WEB)))


def test_a_guest_that_ticks_faster_than_its_host_waits_and_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host, web, before = watched(tmp_path)
    caplog.clear()
    for _ in range(4):
        for _ in range(5):
            web.tick(1.0)
        host.work()
    web.tick(1.0)
    assert_same(web.joules, grown(before, host.billed(WEB)))
    assert caplog.messages == []
    assert web.energy.errors() == dict.fromkeys(web.energy.errors(), 0)


def test_a_host_that_went_silent_is_said_once_and_all_is_told_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    host, web, before = watched(tmp_path)
    for _ in range(20):
        web.tick()
    (said,) = [line for line in caplog.messages if "was not written for 60 s" in line and "rapl:0: " in line]
    assert "is it running?" in said
    host.work(100.0)
    web.tick()
    assert_same(web.joules, grown(before, host.billed(WEB)))
    assert "reading again" in caplog.text


def test_a_guest_that_comes_from_another_host_has_a_gap_and_no_energy_made_up(tmp_path: Path) -> None:
    here, there = Host(tmp_path / "here", WEB), Host(tmp_path / "there", WEB)
    here.work()
    web, before = Guest(here.tree(WEB)), here.billed(WEB)
    here.work()
    web.tick()
    left = grown(before, here.billed(WEB))
    there.work()
    shutil.rmtree(here.tree(WEB))
    here.tree(WEB).symlink_to(there.tree(WEB))
    web.tick()
    arrived = there.billed(WEB)
    for _ in range(3):
        there.work()
        web.tick()
    assert web.energy.errors()["gap"] == 2
    since = grown(arrived, there.billed(WEB))
    assert_same(web.joules, {zone: left[zone] + since[zone] for zone in since})


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["host", "guest", "other process", "guest", "host"]), max_size=30), st.booleans()
)
def test_whatever_order_they_tick_in_nothing_is_lost_or_made_up(steps: list[str], wraps: bool) -> None:
    with TemporaryDirectory() as folder:
        if wraps:
            prepare(Path(folder) / UUIDS[WEB], package=RANGE_UJ - 300_000_000, dram=RANGE_UJ - 1_000_000)
        host = Host(Path(folder), WEB, DB)
        host.work()
        web, before, billed = Guest(host.tree(WEB)), host.billed(WEB), Counter[str]()
        for step in [*steps, "host", "guest"]:
            if step == "host":
                host.work()
            elif step == "guest":
                web.tick()
            else:
                billed.update(grown(before, host.billed(WEB)))
                host.start()
                before = {}
        billed.update(grown(before, host.billed(WEB)))
        assert web.joules == pytest.approx(billed, abs=MICROJOULE * (1 + len(steps)))


def test_a_machine_that_ends_leaves_no_tree(tmp_path: Path) -> None:
    host = Host(tmp_path, WEB, DB)
    host.work()
    assert {path.name for path in tmp_path.iterdir()} == set(UUIDS.values())
    host.end(WEB)
    for _ in range(3):
        host.work()
    assert [path.name for path in tmp_path.iterdir()] == [UUIDS[DB]]


def test_a_directory_that_was_made_for_it_stays_for_the_next_start(tmp_path: Path) -> None:
    prepare(tmp_path / UUIDS[WEB])
    host = Host(tmp_path, WEB)
    host.work()
    assert host.counter_uj(WEB) >= 0
    host.start()
    host.end(WEB)
    for _ in range(3):
        host.work()
    assert list(tmp_path.iterdir()) == [host.tree(WEB)]
    assert list(host.tree(WEB).iterdir()) == []


def test_what_ended_while_nobody_was_here_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    host = Host(tmp_path, WEB, DB)
    host.work()
    for name in ("notes", "11111111-1111-1111-1111-111111111111"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes" / MARK).write_text(json.dumps({"schema": SCHEMA, "source": "rapl"}))
    host.end(WEB)
    host.start()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {UUIDS[DB], "notes", "11111111-1111-1111-1111-111111111111"}


@pytest.mark.parametrize("name", ["compute", "nginx"])
def test_kubevirts_container_is_a_machine_and_no_other_is(tmp_path: Path, name: str) -> None:
    path = in_pod(7)
    pod = PodInfo(
        f"{0:08x}{UID[8:]}", "virt-launcher-web-x", "shop", containers={f"{7:064x}": ContainerInfo(name)}
    )
    host = Host(tmp_path, pods=FakePods(pod))
    host.source.add(path)
    host.emulators[path] = Emulator(UUIDS[WEB], (path,))
    for _ in range(3):
        host.work()
    assert [each.name for each in tmp_path.iterdir()] == ([UUIDS[WEB]] if name == "compute" else [])
    if name == "compute":
        web, before = Guest(tmp_path / UUIDS[WEB]), host.billed(path)
        host.work()
        web.tick()
        assert_same(web.joules, grown(before, host.billed(path)))


def test_a_machine_without_a_uuid_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = Host(tmp_path)
    host.source.add(WEB)
    for _ in range(20):
        host.work()
    (said,) = [line for line in caplog.messages if "no emulator with a UUID" in line]
    assert said.startswith(WEB)


def test_an_emulator_that_starts_after_its_cgroup_is_found(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.source.add(WEB)
    host.work()
    assert not list(tmp_path.iterdir())
    host.emulators[WEB] = Emulator(UUIDS[WEB], (WEB,))
    host.work()
    assert host.counter_uj(WEB) >= 0


def test_a_directory_that_cannot_be_written_costs_nothing_but_the_trees(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(tmp_path, WEB, DB)
    host.work()
    shutil.rmtree(host.tree(WEB))
    host.tree(WEB).write_text("in the way")
    for _ in range(3):
        host.work()
    assert caplog.text.count("energy is not shared with guests in") == 1
    assert host.node.measurement.components.by_name["guests"].errors == 3
    assert host.counter_uj(DB) > 0
    web = host.tree(WEB)
    caplog.set_level(logging.INFO)
    web.unlink()
    host.work()
    assert host.counter_uj(WEB) >= 0
    assert "energy is shared with guests again" in caplog.text


def test_a_guest_that_may_write_leads_no_write_elsewhere(tmp_path: Path) -> None:
    share, outside = tmp_path / "share", tmp_path / "outside"
    outside.mkdir()
    (outside / "energy_uj").write_text("mine")
    (share / UUIDS[WEB]).mkdir(parents=True)
    (share / UUIDS[WEB] / "intel-rapl:0").symlink_to(outside)
    (share / UUIDS[WEB] / MARK).symlink_to(outside / "energy_uj")
    host = Host(share, WEB)
    host.work()
    host.end(WEB)
    for _ in range(3):
        host.work()
    assert (outside / "energy_uj").read_text() == "mine"
    assert [path.name for path in outside.iterdir()] == ["energy_uj"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"schema": "another/1"}', "\0", "9" * 10_000, '{"schema": "podjoule.guest/1", "x": 1}',
     '{"schema": "podjoule.guest/1", "base_uj": {"package": -5, "cellar": 1e400}, "since_seconds": "x"}'],
)  # fmt: skip
def test_a_mark_that_is_not_ours_begins_anew(tmp_path: Path, content: str) -> None:
    prepare(tmp_path / UUIDS[WEB])
    (tmp_path / UUIDS[WEB] / MARK).write_text(content)
    host, web, before = watched(tmp_path)
    host.work()
    web.tick()
    assert_same(web.joules, grown(before, host.billed(WEB)))


def test_one_process_shares_at_a_time_and_what_cannot_be_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = Config(vm=Vm(tmp_path / "guests"))
    first = open_guests(config)
    assert first is not None
    assert open_guests(config, wait_seconds=0.0) is None
    assert f"another process shares it in {tmp_path}/guests" in caplog.text
    first.close()
    (tmp_path / "file").touch()
    assert open_guests(Config(vm=Vm(tmp_path / "file/guests"))) is None
    assert f"{tmp_path}/file/guests: Not a directory" in caplog.text
    assert open_guests(Config()) is None


def test_what_fails_in_every_tick_leaks_nothing(tmp_path: Path) -> None:
    (tmp_path / UUIDS[WEB] / "intel-rapl:0/name").mkdir(parents=True)
    host = Host(tmp_path, WEB)
    host.work()
    before = open_descriptors()
    for _ in range(10):
        host.work()
    assert open_descriptors() == before
    assert host.node.measurement.components.by_name["guests"].errors == 11


def test_a_directory_that_is_taken_away_fails_no_tick(tmp_path: Path) -> None:
    host = Host(tmp_path / "guests", WEB)
    host.work()
    shutil.rmtree(tmp_path / "guests")
    for _ in range(2):
        host.work()
    assert host.node.measurement.components.by_name["guests"].errors == 2
    assert host.billed(WEB)["package"] == pytest.approx(3 * 130.0 / 2)


def test_a_machine_that_goes_on_in_another_cgroup_goes_on_in_its_tree(tmp_path: Path) -> None:
    host, web, before = watched(tmp_path)
    host.work()
    first = grown(before, host.billed(WEB))
    host.end(WEB)
    host.emulators[DB] = Emulator(UUIDS[WEB], (DB,))
    host.source.add(DB)
    for _ in range(2):
        host.work()
        web.tick()
    second = host.billed(DB)
    assert_same(web.joules, {zone: first[zone] + second[zone] for zone in second})


def test_trees_cost_few_descriptors_and_give_them_back(tmp_path: Path) -> None:
    before = open_descriptors()
    host = Host(tmp_path, WEB, DB)
    for _ in range(5):
        host.work()
    assert open_descriptors() <= before + 1 + 2 * 3
    host.end(DB)
    for _ in range(3):
        host.work()
    assert host.node.measurement.guests is not None
    host.node.measurement.guests.close()
    assert open_descriptors() == before
