"""A closed month stays as it is; what is found later stands beside it and makes the sums right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ebpf.errors import UsageError
from exporter.errors import AccountInvalid
from exporter.reports.closing import HoursMissing, close
from exporter.reports.correcting import correct
from exporter.reports.engine import opened
from exporter.reports.manifest import Manifest
from exporter.reports.months import Span, Store
from exporter.reports.rows import KEY
from exporter.reports.showing import Wanted, show
from exporter.reports.summary import Summary
from tests.exporter.reports.made_up import LONG_AGO, Fleet, row, work, write_hours

HOUR = LONG_AGO["2026-10"]
OCTOBER = Span("2026-10")
AFTER = OCTOBER.to_seconds + 3600
FLEET = Fleet(workloads=2, groups=("big",))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with five hours of October."""
    FLEET.write(tmp_path / "store", HOUR, 5)
    return tmp_path / "store"


def closed(store: Path) -> Manifest:
    return close(Store(str(store)), "prod", OCTOBER, AFTER, allow_missing=True)


def corrected(store: Path, again: Path) -> Manifest:
    return correct(Store(str(store)), "prod", OCTOBER, Store(str(again)))


def shown(store: Path) -> Summary:
    found = Store(str(store))
    with opened("duckdb", found.files) as engine:
        return show(engine, found, Wanted(OCTOBER, None, ("namespace",), ["prod"]), AFTER)


def month(store: Path) -> Path:
    return store / "cluster=prod/month=2026-10"


def test_a_closed_month_says_what_its_hours_said(store: Path) -> None:
    before = shown(store)
    manifest = closed(store)
    after = shown(store)
    assert (before.closed, after.closed) == ("", manifest.sha256)
    assert after.total.joules == pytest.approx(before.total.joules, rel=1e-12)
    assert after.hours_missing == before.hours_missing == 31 * 24 - 5
    assert sorted(path.name for path in month(store).iterdir()) == ["closed.parquet", "manifest.json"]


def test_the_manifest_holds_hash_rows_and_joules_and_rows_stand_in_order(store: Path) -> None:
    closed(store)
    document = json.loads((month(store) / "manifest.json").read_text())
    rows = pq.read_table(month(store) / "closed.parquet").to_pylist()
    [entry] = document["files"]
    assert entry["rows"] == len(rows) == 5 * 8
    assert entry["joules"] == pytest.approx(sum(each["joules"] for each in rows))
    keys = [tuple(each[name] for name in KEY) for each in rows]
    assert keys == sorted(keys)


def test_the_same_hours_make_the_same_bytes(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "twin")
    assert closed(store).content == closed(tmp_path / "twin").content
    twins = [(month(each) / "closed.parquet").read_bytes() for each in (store, tmp_path / "twin")]
    assert twins[0] == twins[1]


def test_a_month_that_is_not_over_is_not_closed(store: Path) -> None:
    with pytest.raises(UsageError, match="from 2026-11-01T00:10Z on"):
        close(Store(str(store)), "prod", OCTOBER, OCTOBER.to_seconds + 60, allow_missing=True)
    assert len(list(month(store).glob("hour=*"))) == 5


def test_missing_hours_are_refused_or_written_down(store: Path) -> None:
    with pytest.raises(HoursMissing, match=r"739 hours .*20261001T05Z.*--allow-missing"):
        close(Store(str(store)), "prod", OCTOBER, AFTER)
    assert closed(store).hours_missing[0] == "20261001T05Z"


def test_a_closed_month_is_not_closed_again(store: Path) -> None:
    closed(store)
    with pytest.raises(AccountInvalid, match=r"closed already.*--correct"):
        closed(store)


def test_a_close_that_was_broken_off_is_done_to_its_end(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "before")
    manifest = closed(store)
    shutil.copytree(month(tmp_path / "before"), month(store), dirs_exist_ok=True)
    assert shown(store).total.joules == pytest.approx(manifest.files[0].joules)
    assert closed(store) == manifest
    assert not list(month(store).glob("hour=*"))


def test_a_close_that_was_broken_off_before_its_manifest_is_done_again(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "twin")
    (month(tmp_path / "twin") / "closed.parquet").write_bytes(b"of a close that was killed")
    assert closed(tmp_path / "twin") == closed(store)
    assert sorted(path.name for path in month(tmp_path / "twin").iterdir()) == [
        "closed.parquet",
        "manifest.json",
    ]


def test_hours_that_are_not_what_was_closed_are_left_where_they_are(store: Path) -> None:
    closed(store)
    write_hours(store, [work(HOUR, "a/new", 5.0, 1.0)])
    with pytest.raises(AccountInvalid, match="differs from what was closed"):
        closed(store)
    assert len(list(month(store).glob("hour=*"))) == 1


@pytest.mark.parametrize("harm", ["flip", "remove", "edit", "cut"])
def test_what_was_changed_is_not_shown(store: Path, harm: str) -> None:
    closed(store)
    file, manifest = month(store) / "closed.parquet", month(store) / "manifest.json"
    if harm == "flip":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif harm == "remove":
        file.unlink()
    elif harm == "edit":
        manifest.write_text(manifest.read_text().replace('"rows": 40', '"rows": 41 '))
    else:
        manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.raises(AccountInvalid, match="backup"):
        shown(store)


def test_an_hour_file_that_is_none_is_named(store: Path) -> None:
    broken = next(month(store).glob("hour=*"))
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(AccountInvalid, match=rf"{broken.name}: cannot be read .*collect it again"):
        closed(store)


def test_corrections_make_the_sums_those_of_the_hours_that_were_collected_again(
    store: Path, tmp_path: Path
) -> None:
    """One hour is other than it was, one was not there: workloads vanish, one appears, another has less."""
    closed(store)
    again, better = (
        tmp_path / "again",
        [
            work(HOUR, "a/new", 70.0, 7.0, grams=1.0, cost=0.1, currency="EUR", covered_seconds=1800.0),
            row(
                HOUR,
                "idle",
                30.0,
                node_group="big",
                grams=0.5,
                cost=0.1,
                currency="EUR",
                covered_seconds=1800.0,
            ),
            work(HOUR + 5 * 3600, "a/new", 11.0, 1.0, grams=0.1, cost=0.1, currency="EUR"),
        ],
    )
    write_hours(again, better)
    manifest = corrected(store, again)
    wanted = tmp_path / "wanted"
    FLEET.write(wanted, HOUR + 3600, 4)
    write_hours(wanted, better)
    found, right = shown(store), shown(wanted)
    assert [each.name for each in manifest.files] == ["closed.parquet", "corrections-1.parquet"]
    assert found.closed == manifest.sha256
    assert found.hours_missing == right.hours_missing == 31 * 24 - 6
    assert found.total.joules == pytest.approx(right.total.joules, rel=1e-12)
    assert found.total.grams == pytest.approx(right.total.grams, rel=1e-12)
    assert found.total.cost == pytest.approx(right.total.cost, rel=1e-12)
    assert found.total.cpu_seconds == pytest.approx(right.total.cpu_seconds, rel=1e-12)
    sums = {each.key: each.amount.joules for each in found.groups}
    assert {key: joules for key, joules in sums.items() if abs(joules) > 1e-6} == pytest.approx(
        {each.key: each.amount.joules for each in right.groups if each.amount.joules}
    )


def test_the_second_correction_starts_from_the_first(store: Path, tmp_path: Path) -> None:
    closed(store)
    for i, joules in enumerate((70.0, 50.0)):
        again = tmp_path / f"again{i}"
        write_hours(again, [work(HOUR, "a/new", joules, 7.0, grams=1.0)])
        manifest = corrected(store, again)
    assert [each.name for each in manifest.files][1:] == ["corrections-1.parquet", "corrections-2.parquet"]
    assert next(each for each in shown(store).groups if each.key == ("a",)).amount.joules == 50.0


def test_hours_that_say_the_same_correct_nothing(store: Path, tmp_path: Path) -> None:
    manifest = closed(store)
    FLEET.write(tmp_path / "again", HOUR, 5)
    assert corrected(store, tmp_path / "again") == manifest
    assert sorted(path.name for path in month(store).iterdir()) == ["closed.parquet", "manifest.json"]


def test_an_open_month_is_not_corrected(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not closed"):
        corrected(store, tmp_path)


def test_a_store_without_such_hours_corrects_nothing(store: Path, tmp_path: Path) -> None:
    closed(store)
    with pytest.raises(UsageError, match=r"--from: .* has no hours of 2026-10"):
        corrected(store, tmp_path / "nowhere")
