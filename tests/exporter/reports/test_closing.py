"""A closed month stays as it is; what is found later stands beside it and makes the sums right."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ebpf.errors import UsageError
from exporter.errors import AccountInvalid
from exporter.reports.closing import HoursMissing, close
from exporter.reports.correcting import correct
from exporter.reports.engine import opened
from exporter.reports.manifest import Manifest, read_manifest
from exporter.reports.months import Span, Store
from exporter.reports.options import Options, of_metadata
from exporter.reports.rows import KEY
from exporter.reports.showing import Wanted, show
from exporter.reports.summary import Amount, Summary
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


def amounts(summary: Summary) -> list[Amount]:
    return [each.amount for each in summary.groups] + list(summary.kinds.values())


def known(amount: Amount) -> dict[str, float]:
    return {name: value for name, value in asdict(amount).items() if value is not None}


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
    assert [each.name for each in manifest.files] == [
        "closed.parquet",
        "reversed-1.parquet",
        "corrections-1.parquet",
    ]
    assert found.closed == manifest.sha256
    assert found.hours_missing == right.hours_missing == 31 * 24 - 6
    assert [each.key for each in found.groups] == [each.key for each in right.groups]
    for ours, theirs in zip((found.total, *amounts(found)), (right.total, *amounts(right)), strict=True):
        assert known(ours) == pytest.approx(known(theirs), rel=1e-12)
    assert found.total.covered_ratio == pytest.approx((2 * 1800 + 5 * 3600) / (7 * 3600))  # of both groups


def test_who_sums_all_files_of_a_corrected_month_has_what_is_shown(store: Path, tmp_path: Path) -> None:
    closed(store)
    write_hours(tmp_path / "again", [work(HOUR, "a/new", 70.0, 7.0, grams=1.0, requested_cpu_seconds=9.0)])
    manifest = corrected(store, tmp_path / "again")
    found, rows = (
        shown(store),
        [each for path in month(store).glob("*.parquet") for each in pq.read_table(path).to_pylist()],
    )
    for name in ("joules", "low_joules", "grams", "cpu_seconds", "requested_cpu_seconds"):
        total = sum(each[name] or 0.0 for each in rows)
        assert total == pytest.approx(getattr(found.total, name), rel=1e-12), name
    assert sum(each.joules for each in manifest.files) == pytest.approx(found.total.joules, rel=1e-12)


@pytest.mark.parametrize(("was", "is_now"), [(1.0, None), (None, 1.0), (None, None)])
def test_a_correction_knows_what_the_hours_now_know_and_no_more(
    tmp_path: Path, was: float | None, is_now: float | None
) -> None:
    """a/gone, of which nothing was known, does not keep what is known of the others from being told."""
    store, again = tmp_path / "store", tmp_path / "again"
    told = {"cost": 1.0, "market_grams": 1.0, "currency": "EUR"}
    known = {"grams": 2.0, "requested_cpu_seconds": 3.0, **told}
    write_hours(store, [work(HOUR + 3600, "a/x", 5.0, 1.0, **known)])
    write_hours(store, [work(HOUR, "a/x", 5.0, was, grams=was, **told), work(HOUR, "a/gone", 5.0, was)])
    closed(store)
    write_hours(again, [work(HOUR, "a/x", 5.0, is_now, grams=is_now, **told)])
    corrected(store, again)
    [group] = shown(store).groups
    assert group.amount.grams == (None if is_now is None else 3.0)
    assert (group.amount.cost, group.amount.market_grams) == (2.0, 2.0)
    assert group.amount.cpu_seconds == 1.0 + (is_now or 0.0)
    assert group.amount.requested_cpu_seconds == 3.0


@pytest.mark.parametrize(("was", "is_now"), [(3600.0, 1800.0), (1800.0, 3600.0)])
def test_a_corrected_hour_is_covered_as_it_is_now(tmp_path: Path, was: float, is_now: float) -> None:
    store, again = tmp_path / "store", tmp_path / "again"
    for folder, seconds in ((store, was), (again, is_now)):
        rows = [
            work(HOUR, f"a/{name}", 5.0, 1.0, covered_seconds=seconds) for name in ("x", "y", folder.name)
        ]
        write_hours(folder, [*rows, row(HOUR, "idle", 5.0, covered_seconds=seconds)])
    closed(store)
    corrected(store, again)
    found = shown(store)
    assert found.total.covered_ratio == is_now / 3600
    assert [each.amount.covered_ratio for each in found.groups] == [is_now / 3600] * 2


def test_the_second_correction_starts_from_the_first(store: Path, tmp_path: Path) -> None:
    closed(store)
    for i, joules in enumerate((70.0, 50.0)):
        again = tmp_path / f"again{i}"
        write_hours(again, [work(HOUR, "a/new", joules, 7.0, grams=1.0)])
        manifest = corrected(store, again)
    assert [each.name for each in manifest.files][3:] == ["reversed-2.parquet", "corrections-2.parquet"]
    assert next(each for each in shown(store).groups if each.key == ("a",)).amount.joules == 50.0
    reversed_rows = pq.read_table(month(store) / "reversed-2.parquet").to_pylist()
    assert [each["joules"] for each in reversed_rows] == [-70.0]
    assert corrected(store, again) == manifest


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


OPTIONS = Options(("product", "team"), ("gpu=gpu-.*", "all=.*"), 120.5)
OTHERS = [
    replace(OPTIONS, labels=("team",)),
    replace(OPTIONS, node_groups=("all=.*", "gpu=gpu-.*")),
    replace(OPTIONS, market_intensity=None),
    Options(),
]


def test_a_closed_month_says_how_it_was_collected(tmp_path: Path) -> None:
    """Hours that do not say, as those of an older podjoule, do not speak against it."""
    store = tmp_path / "store"
    write_hours(store, [work(HOUR, "a/x", 1.0, 1.0)])
    write_hours(store, [work(HOUR + n * 3600, "a/x", 1.0, 1.0) for n in (1, 2)], options=OPTIONS)
    assert closed(store).options == OPTIONS
    assert read_manifest(Store(str(store)), Store(str(store)).folder("prod", "2026-10")).options == OPTIONS
    assert of_metadata(pq.read_schema(month(store) / "closed.parquet").metadata) == OPTIONS


@pytest.mark.parametrize("other", OTHERS)
def test_hours_that_were_collected_in_two_ways_are_not_closed(tmp_path: Path, other: Options) -> None:
    write_hours(tmp_path / "store", [work(HOUR, "a/x", 1.0, 1.0)], options=OPTIONS)
    write_hours(tmp_path / "store", [work(HOUR + 3600, "a/x", 1.0, 1.0)], options=other)
    with pytest.raises(AccountInvalid, match=r"1 of 2 files differ so: remove .* them again") as found:
        closed(tmp_path / "store")
    assert f"T01Z.parquet: was collected with {other.flags}, but" in str(found.value)
    assert (
        "with --labels product,team --node-groups 'gpu=gpu-.*' 'all=.*' --market-intensity 120.5, and"
        in str(found.value)
    )
    assert len(list(month(tmp_path / "store").iterdir())) == 2


@pytest.mark.parametrize("other", OTHERS)
def test_a_month_is_corrected_by_what_was_collected_as_it_was(tmp_path: Path, other: Options) -> None:
    store = tmp_path / "store"
    write_hours(store, [work(HOUR, "a/x", 1.0, 1.0)], options=OPTIONS)
    manifest = closed(store)
    for folder, options in (("other", other), ("same", OPTIONS)):
        write_hours(tmp_path / folder, [work(HOUR, "a/x", 2.0, 1.0)], options=options)
    with pytest.raises(AccountInvalid, match="with the same flags"):
        corrected(store, tmp_path / "other")
    assert shown(store).closed == manifest.sha256
    assert corrected(store, tmp_path / "same").options == OPTIONS
    assert shown(store).total.joules == 2.0


def test_no_flags_are_told_as_none() -> None:
    assert Options().flags == "none of --labels, --node-groups, --market-intensity"
