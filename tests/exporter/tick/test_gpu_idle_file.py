"""What GPUs draw while they idle outlives the process; whatever stands in the file, the start goes on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from exporter.tick.gpu_idle_file import SCHEMA, GpuIdleFile


def test_what_was_saved_is_known_at_the_next_start(tmp_path: Path) -> None:
    GpuIdleFile(tmp_path / "gpus.json").save({"GPU-a": 60.5})
    assert GpuIdleFile(tmp_path / "gpus.json").load() == {"GPU-a": 60.5}


def test_it_is_written_where_there_is_news(tmp_path: Path) -> None:
    file = GpuIdleFile(tmp_path / "gpus.json")
    file.save({"GPU-a": 60.0})
    (tmp_path / "gpus.json").unlink()
    file.save({"GPU-a": 59.9})
    assert not (tmp_path / "gpus.json").exists()
    file.save({"GPU-a": 59.0})
    assert (tmp_path / "gpus.json").exists()


def test_the_file_says_which_schema_it_has(tmp_path: Path) -> None:
    GpuIdleFile(tmp_path / "gpus.json").save({"GPU-a": 60.5})
    document = json.loads((tmp_path / "gpus.json").read_text())
    assert document == {"schema": SCHEMA, "idle_watts": {"GPU-a": 60.5}}


def test_a_file_of_before_there_was_a_schema_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gpus.json").write_text('{"GPU-a": 60.5}')
    assert GpuIdleFile(tmp_path / "gpus.json").load() == {"GPU-a": 60.5}
    assert caplog.messages == []


def test_a_file_of_a_later_version_is_kept_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gpus.json"
    path.write_text('{"schema": "podjoule.gpus/2", "watts": {"GPU-a": [60.5, 300]}}')
    text = path.read_text()
    file = GpuIdleFile(path)
    assert file.load() == {}
    assert f"found podjoule.gpus/2, this podjoule reads {SCHEMA}: it is of another version" in caplog.text
    file.save({"GPU-a": 61.0})
    assert path.with_name("gpus.json.refused").read_text() == text
    assert GpuIdleFile(path).load() == {"GPU-a": 61.0}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"GPU-a": -1}', '{"GPU-a": "60"}', '{"GPU-a": 1e999}', '{"GPU-a": true}', "\xff"),
        *(f'{{"schema": "{SCHEMA}"}}', f'{{"schema": "{SCHEMA}", "idle_watts": {{"GPU-a": null}}}}'),
        *('{"schema": 1, "idle_watts": {}}', "[" * 100_000),
    ],
)
def test_a_file_that_is_none_of_ours_is_said_and_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "gpus.json").write_text(text, "latin-1")
    assert GpuIdleFile(tmp_path / "gpus.json").load() == {}
    assert "the idle power of GPUs is learned anew" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["gpus.json.refused"]


def test_a_disk_that_fails_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    file = GpuIdleFile(tmp_path / "nowhere/gpus.json")
    for _ in range(3):
        file.save({"GPU-a": 60.0})
    assert caplog.text.count("the idle power of GPUs is not saved") == 1


def test_without_a_state_directory_nothing_is_kept() -> None:
    file = GpuIdleFile(None)
    file.save({"GPU-a": 60.0})
    assert file.load() == {}
