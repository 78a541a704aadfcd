"""What a recording holds, and what is left after a kill, on a full disk, or among other people's files."""

from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebpf.counters import CPU_NS, CYCLES, FIELDS, SHARED_CYCLES, SHARED_NS
from ebpf.errors import UsageError
from ebpf.fake import FakeCounterSource
from estimator.energy import SourceInfo, ZoneEnergy
from estimator.meters.port import MeterError
from estimator.model.file import load_shipped
from estimator.model.modelled import ModelledEnergy
from exporter.recording.files import TEMPORARY
from exporter.recording.moments import Moment, describe_context
from exporter.recording.playback import RecordedEnergy
from exporter.recording.reader import _ticks_of, _Workloads, _Zones
from exporter.recording.tables import tables
from exporter.tick.measurement import Tick
from exporter.tick.power import Power
from tests.e2e.servers import ROOT
from tests.exporter.nodes import Node, container, in_pod
from tests.exporter.recording.recordings import HOUR, Tape, hours, names, record_ticks, replay, rows, size
from tests.exporter.two_meters import ran, two_meters

PERF = SourceInfo("perf")
DESIGN_COLUMNS = [
    "timestamp_seconds",
    "node",
    "interval_seconds",
    "n_cpu",
    "cpu_seconds",
    "cycles",
    "instructions",
    "cache_misses",
]
TWIN_COLUMNS = ["cgroup", "container_id", "pod_uid"]


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay") / "host"


# What stands in the tables


def test_a_row_holds_the_deltas_of_its_interval(tmp_path: Path) -> None:
    node = Node(sockets=2, zones=("package", "dram"))
    tape = Tape(node, tmp_path)
    node.source.add(in_pod(7))
    node.advance()
    node.source.use(in_pod(7), 1.5, cycles=30, instructions=20, cache_misses=10)
    node.source.drop(0.5, cpu=3)
    node.draw(40.0)
    node.draw(3.0, "dram")
    node.advance()
    tape.close()
    (sample,) = rows(tmp_path, "samples")
    assert list(sample)[:8] == DESIGN_COLUMNS
    expected = [HOUR + 10, "n1", 5.0, 4, 2.0, 30.0, 20.0, 10.0]
    assert [sample[column] for column in DESIGN_COLUMNS] == expected
    assert (sample["package_joules"], sample["dram_joules"]) == (80.0, 6.0)
    worked, *dropped = rows(tmp_path, "workloads")
    assert list(worked)[:8] == DESIGN_COLUMNS
    assert [worked[column] for column in DESIGN_COLUMNS[4:]] == [1.5, 30.0, 20.0, 10.0]
    assert [worked[column] for column in TWIN_COLUMNS] == [in_pod(7), f"{7:064x}", in_pod(7)[13:49]]
    assert [(row["cgroup_id"], row["socket"], row["cpu_seconds"]) for row in dropped] == [
        (None, 0, 0.0),
        (None, 1, 0.5),
    ]
    zones = {(row["zone"], row["socket"]): row["joules"] for row in rows(tmp_path, "zones")}
    assert zones == {("package", 0): 40.0, ("package", 1): 40.0, ("dram", 0): 3.0, ("dram", 1): 3.0}


def test_what_siblings_shared_and_how_long_sockets_were_awake_is_recorded_and_read_back(
    tmp_path: Path,
) -> None:
    counts = np.zeros((2, len(FIELDS)), np.uint64)
    counts[:, CPU_NS], counts[:, CYCLES] = 1_000_000_000, (3_000_000_000, 1_500_000_000)
    counts[:, SHARED_NS], counts[:, SHARED_CYCLES] = 250_000_000, 7
    moment = Moment(
        timestamp_seconds=HOUR,
        interval_seconds=5.0,
        n_cpu=4,
        available=frozenset(FIELDS),
        counts=counts,
        cgroup_id=np.array([7, 8], np.uint64),
        is_dropped=np.zeros(2, np.bool_),
        is_alive=np.ones(2, np.bool_),
        socket=np.array([0, 1], np.int32),
        paths=["/a", "/b"],
        energies=[ZoneEnergy("package", 0, "p", 9.0, 5.0, None, 9.0, 9.0)],
        context={"power": {"source": "rapl"}},
        awake_seconds={0: 4.0, 1: 0.5},
    )
    made = tables([moment], [{}], "n1", {})
    (sample,) = made["samples"].to_pylist()
    assert (sample["shared_seconds"], sample["shared_cycles"], sample["awake_seconds"]) == (0.5, 14.0, 4.5)
    # 3 GHz as they are, 1.5 GHz at a quarter.
    assert sample["clocked_cycles"] == pytest.approx(3.375e9)
    (back,) = _ticks_of(made["samples"], _Workloads(made["workloads"]), _Zones(made["zones"]))
    assert (back.awake_seconds, back.context) == (moment.awake_seconds, moment.context)
    assert (back.counts == counts).all()
    assert back.available == moment.available
    old = made["samples"].drop(["shared_seconds", "shared_cycles", "clocked_cycles", "awake_seconds"])
    (older,) = _ticks_of(old, _Workloads(made["workloads"]), _Zones(made["zones"]))
    assert older.available == moment.available - {"shared_ns", "shared_cycles"}


def test_a_replay_knows_which_meter_each_zone_was_from() -> None:
    energies = [ZoneEnergy(zone, 0, zone, 9.0, 5.0, None, 9.0, 9.0) for zone in ("package", "dram")]
    node = two_meters()
    ran(node, 2)
    power = node.measurement.power
    context = json.loads(json.dumps(describe_context(node.source, power)))
    recorded = RecordedEnergy()
    recorded.step(empty_moment(energies, context))
    assert recorded.infos() == power.source.infos() == {"package": PERF, "dram": SourceInfo("hwmon")}
    # Of a podjoule that knew one source for all; a zone that fails for a tick is from there still.
    old = {"power": {"source": "perf", "model": "", "sha256": ""}}
    recorded = RecordedEnergy()
    for told in (energies, energies[:1]):
        recorded.step(empty_moment(told, old))
        assert recorded.infos() == {"package": PERF, "dram": PERF}


def empty_moment(energies: Sequence[ZoneEnergy], context: Mapping[str, Any]) -> Moment:
    return Moment(
        timestamp_seconds=HOUR,
        interval_seconds=5.0,
        n_cpu=4,
        available=frozenset(FIELDS),
        counts=np.zeros((0, len(FIELDS)), np.uint64),
        cgroup_id=np.zeros(0, np.uint64),
        is_dropped=np.zeros(0, np.bool_),
        is_alive=np.zeros(0, np.bool_),
        socket=np.zeros(0, np.int32),
        paths=[],
        energies=energies,
        context=context,
    )


def test_what_is_not_measured_is_empty(tmp_path: Path) -> None:
    node = Node(source=FakeCounterSource(n_cpu=2, available=frozenset({"cpu_ns"})))
    record_ticks(node, tmp_path, 1).close()
    for row in (*rows(tmp_path, "samples"), *rows(tmp_path, "workloads")):
        assert row["cpu_seconds"] is not None
        assert row["cycles"] is row["instructions"] is row["cache_misses"] is row["switches"] is None


def test_a_zone_of_which_a_part_is_missing_is_empty_in_the_samples(tmp_path: Path) -> None:
    node = Node(sockets=2, zones=("package",))
    tape = Tape(node, tmp_path)
    node.advance()
    for failing in (False, True, False, False):
        broken = node.counters[1]
        broken.failing = MeterError(broken.path, "EIO", vanished=False) if failing else None
        node.draw(10.0)
        node.advance()
    tape.close()
    # In the third tick the socket that had failed gives the energy of two intervals.
    assert [row["package_joules"] for row in rows(tmp_path, "samples")] == [20.0, None, None, 20.0]
    assert sum(row["joules"] for row in rows(tmp_path, "zones")) == 80.0


def test_an_estimate_is_no_measurement(tmp_path: Path) -> None:
    energy = ModelledEnergy(load_shipped("power-from-specification"))
    node = Node()
    node.measurement.power = Power(energy, energy.coefficients(), lambda: None)
    record_ticks(node, tmp_path, 2).close()
    assert not [column for row in rows(tmp_path, "samples") for column in row if column.endswith("_joules")]
    assert all(row["joules"] > 0 for row in rows(tmp_path, "zones"))


def test_containers_that_do_nothing_are_there_and_other_cgroups_are_not(tmp_path: Path) -> None:
    node = Node()
    tape = Tape(node, tmp_path)
    node.source.add(container(1))
    node.source.add("/system.slice/idle.service")
    node.advance()
    node.advance()
    tape.close()
    assert [row["cgroup"] for row in rows(tmp_path, "workloads")] == [container(1), None]


def test_a_path_that_is_no_text_is_recorded(tmp_path: Path) -> None:
    node = Node()
    tape = Tape(node, tmp_path)
    node.source.add("/b\udcffd")
    node.advance()
    node.source.use("/b\udcffd", 1.0)
    node.advance()
    assert tape.close()
    assert rows(tmp_path, "workloads")[0]["cgroup"] == "/b?d"


def test_ids_are_exact(tmp_path: Path) -> None:
    node = Node()
    tape = Tape(node, tmp_path)
    node.source.add("/a", cgroup_id=2**63 + 1)
    node.advance()
    node.source.use("/a", 1.0)
    node.advance()
    tape.close()
    assert rows(tmp_path, "workloads")[0]["cgroup_id"] == 2**63 + 1


# Files


def test_every_minute_is_on_disk_when_it_is_over_and_an_hour_is_one_file(tmp_path: Path) -> None:
    node = Node()
    tape = record_ticks(node, tmp_path, 721)
    assert names(tmp_path)[0].startswith("samples-2026-11-21T14Z.parquet")
    assert sum("T14" in name for name in names(tmp_path)) == 3
    assert len(rows(tmp_path, "samples")) == 719
    tape.close()
    assert names(tmp_path) == [
        f"{table}-2026-11-21T{hour}Z.parquet"
        for table in ("samples", "workloads", "zones")
        for hour in (14, 15)
    ]
    times = [row["timestamp_seconds"] for row in rows(tmp_path, "samples")]
    assert times == [HOUR + 5 * tick for tick in range(1, 722)]


def test_what_a_killed_one_left_is_put_together_by_the_next(tmp_path: Path, host: Path) -> None:
    record_ticks(Node(), tmp_path, 40).die()
    assert len(rows(tmp_path, "samples")) == 35
    assert len(names(tmp_path)) == 3 * 3
    (tmp_path / f"samples-2026-11-21T14-09-00.000Z.parquet{TEMPORARY}").write_bytes(b"half")
    node = Node()
    record_ticks(node, tmp_path, 3, HOUR + 600).close()
    assert hours(tmp_path) == {"2026-11-21T14Z"}
    assert len(rows(tmp_path, "samples")) == 38
    assert replay(tmp_path, node.config, host).n_ticks == 38


def test_a_minute_that_could_not_be_removed_counts_once(tmp_path: Path, host: Path) -> None:
    record_ticks(Node(), tmp_path, 40).die()
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    Tape(Node(), tmp_path).close()
    for path, body in kept.items():
        path.write_bytes(body)
    node = Node()
    player = replay(tmp_path, node.config, host)
    assert player.n_ticks == 35
    assert player.measurement.ledger.node.zones()[0].joules == 3500.0
    Tape(node, tmp_path).close()
    assert len(names(tmp_path)) == 3
    assert len(rows(tmp_path, "samples")) == 35


def test_zones_that_come_later_are_empty_before(tmp_path: Path) -> None:
    record_ticks(Node(), tmp_path, 2).close()
    later = Node(zones=("package", "dram"))
    advance = later.advance

    def drawing(*arguments: float) -> Tick:
        later.draw(10.0, "dram")
        return advance(*arguments)

    later.advance = drawing  # type: ignore[method-assign]
    record_ticks(later, tmp_path, 2, HOUR + 60).close()
    assert [row["dram_joules"] for row in rows(tmp_path, "samples")] == [None, None, 10.0, 10.0]
    assert len(names(tmp_path)) == 3


def test_torn_and_foreign_files_are_set_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_ticks(Node(), tmp_path, 30).die()
    torn = min(tmp_path.glob("zones-*"))
    torn.write_bytes(torn.read_bytes()[:100])
    foreign = tmp_path / "samples-2026-11-21T13Z.parquet"
    pq.write_table(pa.table({"mine": [1]}), foreign)
    (tmp_path / "notes.txt").write_text("mine")
    record_ticks(Node(), tmp_path, 2, HOUR + 600).close()
    assert f"{torn.name}.set-aside" in names(tmp_path)
    assert f"{foreign.name}.set-aside" in names(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    for named in (torn, foreign, tmp_path / "notes.txt"):
        assert str(named) in caplog.text
    assert len(rows(tmp_path, "samples")) == 23 + 2


def test_a_file_whose_pages_are_broken_costs_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_ticks(Node(), tmp_path, 30).die()
    broken = min(tmp_path.glob("samples-*"))
    body = bytearray(broken.read_bytes())
    body[4:400] = bytes(396)
    broken.write_bytes(body)
    Tape(Node(), tmp_path).close()
    assert f"{broken} is set aside" in caplog.text
    assert len(rows(tmp_path, "samples")) == 23 - 11


def test_two_recorders_do_not_share_a_directory(tmp_path: Path) -> None:
    tape = Tape(Node(), tmp_path)
    with pytest.raises(UsageError, match="another podjoule records into"):
        Tape(Node(), tmp_path)
    tape.close()
    Tape(Node(), tmp_path).close()


def test_an_output_that_is_no_directory_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="give --output a directory"):
        Tape(Node(), tmp_path / "file")


# Bounds


def test_the_oldest_go_before_there_are_too_many_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    most = 120_000
    tape = Tape(node := Node(), tmp_path, max_bytes=most)
    node.source.add(container(1))
    node.advance()
    largest, ticks = 0, 12 * 60 * 5
    for tick in range(ticks):
        node.source.use(container(1), 1 + tick % 7, cycles=tick**3)
        node.draw(50 + tick % 11)
        node.advance()
        if tick % 3 == 0:
            largest = max(largest, size(tmp_path))
    tape.close()
    assert most / 3 < largest <= most
    assert size(tmp_path) <= most
    assert tape.store.removed > 1
    assert f"--max-bytes {most} is reached" in caplog.text
    times = [row["timestamp_seconds"] for row in rows(tmp_path, "samples")]
    last = HOUR + 5 * (ticks + 1)
    assert times[-1] == last
    assert times == [last - 5 * back for back in range(len(times) - 1, -1, -1)], "only the oldest are gone"


def test_one_hour_that_is_too_large_goes_minute_by_minute(tmp_path: Path) -> None:
    most = 60_000
    tape = record_ticks(Node(), tmp_path, 300, max_bytes=most)
    assert size(tmp_path) <= most
    assert tape.close()
    assert size(tmp_path) <= most
    times = [row["timestamp_seconds"] for row in rows(tmp_path, "samples")]
    assert times[-1] == HOUR + 1500
    assert 12 <= len(times) < 300


def test_a_bound_that_not_even_a_minute_fits_in_is_said_and_costs_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tape = record_ticks(node := Node(), tmp_path, 30, max_bytes=1000)
    assert not tape.close()
    assert "do not fit in --max-bytes 1000" in caplog.text
    assert "30 ticks are lost" in caplog.text
    assert node.measurement.ledger.node.zones()[0].joules == 3000.0
    assert size(tmp_path) == 0


def test_a_disk_that_is_full_for_a_while_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = record_ticks(node := Node(), tmp_path, 20)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr(tape.store, "_put", full)
        for _ in range(30):
            node.draw(100.0)
            node.advance()
    for _ in range(20):
        node.draw(100.0)
        node.advance()
    assert tape.close()
    assert caplog.text.count("No space left") == 1
    assert "recording again" in caplog.text
    times = [row["timestamp_seconds"] for row in rows(tmp_path, "samples")]
    assert times == [HOUR + 5 * tick for tick in range(1, 71)]
    assert len(rows(tmp_path, "zones")) == 70


def test_a_disk_that_stays_full_costs_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.recording.recorder._MAX_PENDING", 24)
    tape = record_ticks(Node(), tmp_path, 40, max_bytes=1000)
    assert tape.recorder.lost == 16


def test_the_exporter_needs_none_of_what_training_and_recording_need() -> None:
    code = (
        "import sys, exporter.commands.run, exporter.commands.snapshot, exporter.commands.cli;"
        "import exporter.doctor.doctor;"
        "print([name for name in ('sklearn', 'pandas', 'pyarrow', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
