from __future__ import annotations

from pathlib import Path

import pytest

from estimator.errors import MeterUnavailable
from exporter.bmc.nodes_file import read_bmc

SECRET = "hunter2-not-for-any-log"
GOOD = f"""
nodes: {{node-1: bmc-1, node-2: bmc-2}}
bmcs:
  bmc-1: {{endpoint: "https://10.0.0.1", username: me-not-for-any-log, password: "{SECRET}", insecure: true}}
  bmc-2: {{endpoint: bmc.example:8443}}
"""


def refused(folder: Path, content: str | bytes, node: str = "node-1") -> str:
    file = folder / "bmc.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(MeterUnavailable) as caught:
        read_bmc(file, node)
    message = str(caught.value)
    assert message.startswith(f"platform.redfish.configFile {file}: ")
    assert "not-for-any-log" not in f"{message} {caught.value.__cause__!r}"
    return message


def test_keplers_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "bmc.yaml"
    file.write_text(GOOD)
    first, second = read_bmc(file, "node-1"), read_bmc(file, "node-2")
    assert (first.id, first.endpoint, first.password, first.verify) == (
        "bmc-1",
        "https://10.0.0.1",
        SECRET,
        False,
    )
    assert (second.endpoint, second.user, second.verify) == ("https://bmc.example:8443", "", True)
    assert "not-for-any-log" not in f"{first!r} {first}"


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("node-1: bmc-1, ", "", "nodes has no node-1"),
        ("node-1: bmc-1", "node-1: bmc-9", "nodes.node-1 names the BMC bmc-9"),
        ("bmcs:", "bmcz:", "bmcs must be a mapping"),
        (f'password: "{SECRET}", ', "", "go together"),
        (f'"{SECRET}"', "12345", "bmcs.bmc-1.password must be text; put it in quotes"),
        ("insecure: true", "insecure: 'yes'", "insecure must be true or false"),
        ("insecure: true", "verify: false", "has verify; it can have endpoint"),
        ("https://10.0.0.1", f"https://admin:{SECRET}@10.0.0.1", "endpoint must be like"),
        ("https://10.0.0.1", "ftp://10.0.0.1", "endpoint must be like"),
        ("https://10.0.0.1", "https://10.0.0.1/redfish?x", "endpoint must be like"),
        ("https://10.0.0.1", "https://10.0.0.1:99999", "endpoint must be like"),
        ("https://10.0.0.1", "", "endpoint must be like"),
        (f'"{SECRET}"', f'"{SECRET}', "not valid YAML"),
        (GOOD, "", "the file must be a mapping"),
        (GOOD, "- a\n- b\n", "the file must be a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_no_secret(
    tmp_path: Path, was: str, becomes: str, said: str
) -> None:
    assert was in GOOD
    assert said in refused(tmp_path, GOOD.replace(was, becomes))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 100, b"[" * 500])
def test_garbage_is_told(tmp_path: Path, content: bytes) -> None:
    assert "YAML" in refused(tmp_path, content)


def test_a_file_that_is_far_too_large_is_told(tmp_path: Path) -> None:
    assert "more than 1048576 bytes" in refused(tmp_path, GOOD + "#" * 2_000_000)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MeterUnavailable, match="cannot be read: No such file"):
        read_bmc(tmp_path / "bmc.yaml", "node-1")
