"""A lock is what a release is made from: it is read as it was written, and nothing else is taken for it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from deploy.release import charts, lock, trees
from deploy.release.errors import ReleaseError
from deploy.release.sources import Sources

PINNED = lock.Pinned("python3", "3.11.2-1+b1", "python3_3.11.2-1+b1_amd64.deb", "0" * 64)
LOCK = lock.Lock(
    "bookworm", {"amd64": (PINNED,), "arm64": ()}, {"amd64": (), "arm64": (PINNED,)}, {"clang": "14"}
)


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text(lock.write(LOCK))
    assert lock.read(tmp_path / "lock.json") == LOCK
    assert LOCK.python_version() == "3.11"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "suite": "bookworm"}'])
def test_what_is_no_lock_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(ReleaseError, match=r"lock\.json is no lock of a release: .*; without --lock"):
        lock.read(tmp_path / "lock.json")


def test_another_tool_than_the_locks_is_named() -> None:
    assert LOCK.changed_tools({"clang": "14"}) == []
    assert LOCK.changed_tools({"clang": "19"}) == [
        "clang is 19, and was 14 when the lock was made: bytes may differ"
    ]


def test_a_download_with_other_bytes_is_refused(tmp_path: Path) -> None:
    assert lock.missing(tmp_path, [PINNED]) == [PINNED]
    (tmp_path / PINNED.file).write_text("something else")
    with pytest.raises(ReleaseError, match="is not what the lock names"):
        lock.missing(tmp_path, [PINNED])


def test_an_archive_does_not_tell_in_which_order_its_tree_was_made() -> None:
    tree = {"b/c": trees.file(b"1"), "a": trees.link("b/c"), "d": trees.file(b"2", 0o755)}
    packed = trees.write_tar(tree, 1_700_000_000)
    assert packed == trees.write_tar(dict(reversed(tree.items())), 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert [(each.name, each.mode, each.mtime) for each in archive] == [
            ("a", 0o777, 1_700_000_000),
            ("b", 0o755, 1_700_000_000),
            ("b/c", 0o644, 1_700_000_000),
            ("d", 0o755, 1_700_000_000),
        ]


def test_packages_of_before_the_merge_of_usr_lie_below_it() -> None:
    packed = trees.write_tar(
        {"lib/x86_64-linux-gnu/libc.so.6": trees.file(b"c"), "libexec/d": trees.file(b"d")}, 0
    )
    found = trees.merged_usr() | trees.read_tar(packed, bool)
    assert found["usr/lib/x86_64-linux-gnu/libc.so.6"].data == b"c"
    assert found["lib"].target == "usr/lib"
    assert "libexec/d" in found


def test_a_release_that_is_told_where_it_will_be_says_so_in_the_chart(tmp_path: Path) -> None:
    chart = tmp_path / "deploy/chart"
    chart.mkdir(parents=True)
    for name in ("Chart.yaml", "values.yaml"):
        here = Path(__file__).parents[2] / "deploy/chart" / name
        (chart / name).write_text(here.read_text())
    sources = Sources(tmp_path, "", 0, changed=False, version="0")
    charts.publish_as(sources, "https://example.org/podjoule", "registry.example.org/podjoule")
    about = charts.metadata(chart)
    assert about["sources"] == [about["home"]] == ["https://example.org/podjoule"]
    assert "https://example.org/podjoule" in about["annotations"]["artifacthub.io/links"]
    assert "image: registry.example.org/podjoule:" in about["annotations"]["artifacthub.io/images"]
    assert "  repository: registry.example.org/podjoule\n" in (chart / "values.yaml").read_text()
    assert json.dumps(about)
