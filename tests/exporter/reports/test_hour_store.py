from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from exporter.errors import CollectFailed
from exporter.reports.hour_store import HourStore, table_of
from exporter.reports.place import open_root, shown
from exporter.reports.rows import SCHEMA_VERSION, Row, schema
from tests.exporter.reports.nodes import rows_of
from tests.exporter.reports.object_storage import ObjectStorage
from tests.exporter.reports.world import HOUR, Node, Pod

pq = pytest.importorskip("pyarrow.parquet", reason="pip install podjoule[report]")

FILE = "cluster=c/month=2026-10/hour=20261001T08Z.parquet"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return rows_of([Node("n1", (Pod("u1", "web-1", HOUR, HOUR + 600.0, 5.0),), price=None, step=60.0)])


def test_a_file_says_its_cluster_and_hour_in_its_path_and_holds_the_rows(
    tmp_path: Path, rows: list[Row]
) -> None:
    HourStore(str(tmp_path), "c").write(HOUR, rows)
    table = pq.read_table(tmp_path / FILE, partitioning=None)
    assert table.schema.equals(schema())
    assert table.schema.metadata == {b"schema": SCHEMA_VERSION.encode()}
    assert table.equals(table_of(rows))
    assert table["cost"].null_count == len(rows)


def test_the_same_rows_are_the_same_bytes(tmp_path: Path, rows: list[Row]) -> None:
    for name in ("one", "two"):
        HourStore(str(tmp_path / name), "c").write(HOUR, rows)
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()


def test_hours_that_are_there_are_not_missing(tmp_path: Path, rows: list[Row]) -> None:
    store = HourStore(str(tmp_path), "c")
    hours = [HOUR - 3600, HOUR, HOUR + 31 * 86_400]
    assert store.missing(hours) == hours
    store.write(HOUR, rows)
    assert store.missing(hours) == [hours[0], hours[2]]
    assert HourStore(str(tmp_path), "other").missing(hours) == hours


@pytest.mark.parametrize(("name", "lacking"), [("manifest.json", []), ("closed.parquet", [HOUR])])
def test_a_month_with_a_manifest_lacks_nothing(tmp_path: Path, name: str, lacking: list[int]) -> None:
    """The other file without it is of a close that was broken off."""
    (tmp_path / "cluster=c/month=2026-10").mkdir(parents=True)
    (tmp_path / "cluster=c/month=2026-10" / name).touch()
    later = HOUR + 31 * 86_400
    assert HourStore(str(tmp_path), "c").missing([HOUR, later]) == [*lacking, later]


def test_what_was_half_written_is_missing_and_written_again(
    tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = HourStore(str(tmp_path), "c")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", _full)
        with pytest.raises(
            CollectFailed, match=r"hour=20261001T08Z.parquet cannot be written: No space left"
        ):
            store.write(HOUR, rows)
    assert store.missing([HOUR]) == [HOUR]
    store.write(HOUR, rows)
    assert [path.name for path in (tmp_path / FILE).parent.iterdir()] == ["hour=20261001T08Z.parquet"]


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_one_process_writes_a_cluster_at_a_time(tmp_path: Path) -> None:
    first, second = HourStore(str(tmp_path), "c"), HourStore(str(tmp_path), "c")
    first.hold()
    with pytest.raises(UsageError, match="another collect of this cluster is under way"):
        second.hold()
    first.release()
    second.hold()
    second.release()


def test_object_storage_holds_the_same_bytes(tmp_path: Path, rows: list[Row]) -> None:
    """By fsspec's own in memory; its files are there once they are whole, as objects are."""
    store = HourStore("memory://bucket/reports", "c")
    store.hold()
    HourStore(str(tmp_path), "c").write(HOUR, rows)
    store.write(HOUR, rows)
    files, path = open_root("memory://bucket/reports")
    assert files.cat_file(f"{path}/{FILE}") == (tmp_path / FILE).read_bytes()
    assert store.missing([HOUR, HOUR + 3600]) == [HOUR + 3600]


@pytest.mark.parametrize("name", ["", "a/b", "a=b", "..", "ä", ".hidden"])
def test_a_clusters_name_is_one_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--cluster: found"):
        HourStore(str(tmp_path), name)


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(UsageError, match="--store /proc/reports: cannot be written"):
        HourStore("/proc/reports", "c").hold()


def test_a_storage_that_nobody_knows_is_named() -> None:
    with pytest.raises(UsageError, match="--store nosuch://x: cannot be opened"):
        HourStore("nosuch://x", "c")


def test_keys_in_an_address_are_not_shown() -> None:
    assert shown("ftp://id:secret@host/reports?key=1") == "ftp://host/reports"
    assert shown("/var/reports") == "/var/reports"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "local")
    with ObjectStorage() as storage:
        monkeypatch.setenv("AWS_ENDPOINT_URL", storage.url)
        yield storage


def test_over_s3_the_files_are_the_same_and_are_found_again(
    storage: ObjectStorage, tmp_path: Path, rows: list[Row]
) -> None:
    store = HourStore("s3://bucket/reports", "c")
    store.hold()
    assert store.missing([HOUR]) == [HOUR]
    HourStore(str(tmp_path), "c").write(HOUR, rows)
    store.write(HOUR, rows)
    assert storage.objects[f"bucket/reports/{FILE}"] == (tmp_path / FILE).read_bytes()
    assert HourStore("s3://bucket/reports", "c").missing([HOUR, HOUR + 3600]) == [HOUR + 3600]
    assert storage.credentials == {"key1"}


def test_s3_that_refuses_is_named(storage: ObjectStorage) -> None:
    storage.refuses = True
    with pytest.raises(CollectFailed, match=r"--store s3://bucket/reports: cannot be read: .*ACCESS_DENIED"):
        HourStore("s3://bucket/reports", "c").missing([HOUR])
