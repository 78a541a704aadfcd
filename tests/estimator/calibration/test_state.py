"""The calibration on disk: whole or not at all, and never believed where it should not be."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.calibration.place import Anchor, Fit
from estimator.calibration.state import from_document, load_state, save_state, to_document
from estimator.errors import ModelInvalid
from estimator.features import LEARNED
from estimator.model.file import content_hash

MACHINE = "Xeon, 32 CPUs"
FITS = {
    "intel-rapl:0": Fit(20.0, {"cpu_seconds": 1.5, "awake_seconds": 12.0}, Anchor(19.0, 0.5, 300.0)),
    "intel-rapl:0:2": Fit(4.0, {"cache_misses": 4e-8}),
}

joules = st.floats(0, 1e6)
fits = st.dictionaries(
    st.text(max_size=20),
    st.builds(
        Fit,
        joules,
        st.dictionaries(st.sampled_from(sorted(LEARNED)), joules),
        st.one_of(st.none(), st.builds(Anchor, joules, joules, joules)),
    ),
    max_size=5,
)


def sealed(**changes: object) -> str:
    body = {key: value for key, value in to_document(FITS, MACHINE).items() if key != "sha256"}
    body |= changes
    return json.dumps({**body, "sha256": content_hash(body)})


@given(fits)
def test_what_is_written_is_read(written: dict[str, Fit]) -> None:
    text = json.dumps(to_document(written, MACHINE))
    assert from_document("state", text, MACHINE) == written


def test_the_file_is_read_back_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    save_state(path, {}, MACHINE)
    save_state(path, FITS, MACHINE)
    assert load_state(path, MACHINE) == FITS
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]


def test_what_the_version_before_wrote_is_read(tmp_path: Path) -> None:
    zone = {"idle_watts": 3, "coefficients": {"cycles": 1e-9}, "minimum_watts": 4}
    path = tmp_path / "calibration.json"
    path.write_text(sealed(schema="podjoule.calibration/1", zones={"a": zone}))
    assert load_state(path, MACHINE) == {"a": Fit(3.0, {"cycles": 1e-9})}


def test_no_file_is_no_calibration(tmp_path: Path) -> None:
    assert load_state(tmp_path / "calibration.json", MACHINE) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "document"),
        (json.dumps(to_document(FITS, MACHINE))[:-40], "document"),
        ("[" * 5000, "document"),
        ("[]", "document"),
        (json.dumps(to_document(FITS, MACHINE)).replace("20.0", "18.0"), "sha256"),
        (json.dumps(to_document(FITS, "another")), "machine"),
        (sealed(schema="podjoule.calibration/3"), "schema"),
        (sealed(zones=[]), "zones"),
        (
            sealed(zones={"a": {"idle_watts": 1, "coefficients": {"cycles": -1}}}),
            "cycles",
        ),
        (sealed(zones={"a": {"idle_watts": "3", "coefficients": {}}}), "idle_watts"),
        (sealed(zones={"a": {"idle_watts": 3, "coefficients": {}, "anchor": 2}}), "anchor"),
        (
            sealed(zones={"a": {"idle_watts": 3, "coefficients": {}, "anchor": {"watts": -1}}}),
            "anchor.watts",
        ),
        (
            sealed(zones={"a": {"idle_watts": 1, "coefficients": {"heat": 1}}}),
            "coefficients",
        ),
        (json.dumps(to_document({"a": Fit(1.0, {"cycles": 5.0})}, MACHINE)).replace("5.0", "NaN"), "cycles"),
        ("x" * 2_000_000, "bytes"),
    ],
)
def test_what_must_not_be_used_is_named_and_set_aside(
    text: str, named: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with caplog.at_level(logging.ERROR):
        assert load_state(path, MACHINE) == {}
    assert named in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json.refused"]


def test_bytes_that_are_no_text_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert load_state(path, MACHINE) == {}
    assert not path.exists()


def test_what_cannot_be_read_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_state(tmp_path, MACHINE) == {}
    assert "cannot be read" in caplog.text
    assert tmp_path.is_dir()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    save_state(path, FITS, MACHINE)
    (tmp_path / "calibration.json.podjoule-tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        save_state(path, {}, MACHINE)
    assert load_state(path, MACHINE) == FITS


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_never_a_crash(content: bytes) -> None:
    with pytest.raises(ModelInvalid):
        from_document("state", content.decode("latin-1"), MACHINE)
