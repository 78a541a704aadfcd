"""What `make release` makes: the same bytes twice, and each file what it says it is."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.left_out import name_of
from deploy.release.debian import STATUS
from deploy.release.lock import ARCHITECTURES
from ebpf.version import VERSION
from tests import releases
from tests.deploy.chart import helm

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(releases.LONGEST_SECONDS)]

BPF, MACHINES = 247, {"amd64": 62, "arm64": 183}  # e_machine of elf.h
EPOCH_OF = ("git", "log", "-1", "--format=%ct")


@pytest.fixture(scope="session")
def release() -> Path:
    return releases.released()


@pytest.fixture(params=ARCHITECTURES)
def cpu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sums(release: Path) -> dict[str, str]:
    """Every file below, and what it hashes to."""
    paths = [path for path in release.rglob("*") if path.is_file()]
    return {str(path.relative_to(release)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def members(release: Path, cpu: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for archive in releases.layers(release, cpu):
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            yield member, content.read() if content else b""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The same checkout in another folder."""
    copy = tmp_path / "another folder"
    subprocess.run(["git", "clone", "--quiet", "--shared", releases.ROOT, copy], check=True)
    for name in releases.tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(releases.ROOT / name, copy / name)
    return copy


def test_a_second_build_elsewhere_is_the_same_to_the_byte(
    release: Path, elsewhere: Path, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        releases.make(tmp_path / "again", elsewhere, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="1")
    finally:
        os.umask(before)
    assert sums(tmp_path / "again") == sums(release)


def test_the_sums_are_of_every_file(release: Path) -> None:
    lines = [line.split("  ") for line in (release / "SHA256SUMS").read_text().splitlines()]
    found = sums(release)
    del found["SHA256SUMS"]
    assert {name: digest for digest, name in lines} == found


def test_one_index_names_an_image_for_each_cpu(release: Path) -> None:
    layout = release / "image"
    (named,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert named["annotations"]["org.opencontainers.image.ref.name"] == VERSION
    assert set(releases.manifests(release)) == set(ARCHITECTURES)
    for cpu, manifest in releases.manifests(release).items():
        config = releases.document(layout, manifest["config"])
        assert config["architecture"] == cpu
        assert config["config"]["Entrypoint"] == ["/opt/podjoule/bin/podjoule"]
        assert config["config"]["Labels"]["org.opencontainers.image.version"] == VERSION
        for layer, plain in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
            with tarfile.open(fileobj=io.BytesIO(releases.blob(layout, layer))) as archive:
                assert archive.fileobj is not None
                archive.fileobj.seek(0)
                assert f"sha256:{hashlib.sha256(archive.fileobj.read()).hexdigest()}" == plain


def test_every_blob_is_what_its_name_says(release: Path) -> None:
    for layout in ("image", "chart"):
        for path in (release / layout / "blobs/sha256").iterdir():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_an_image_is_of_root_of_one_day_and_gives_nobody_rights(release: Path, cpu: str) -> None:
    told = subprocess.run(EPOCH_OF, cwd=releases.ROOT, capture_output=True, text=True, check=True)
    for member, _ in members(release, cpu):
        assert (member.uid, member.mtime) == (0, int(told.stdout)), member.name
        assert member.isdir() or not member.mode & 0o7000, member.name
        assert member.issym() or not member.mode & 0o002 or member.mode & 0o1000, member.name


def test_an_image_is_of_its_cpu_and_has_every_library_that_it_asks_for(
    release: Path, cpu: str, tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    programs, names = [], set()
    for member, content in members(release, cpu):
        names.add(Path(member.name).name)
        if content.startswith(b"\x7fELF"):
            machine = int.from_bytes(content[18:20], "little")
            assert machine == (BPF if member.name.endswith(".bpf.o") else MACHINES[cpu]), member.name
            if machine != BPF:
                programs.append(tmp_path / str(len(programs)))
                programs[-1].write_bytes(content)
    read = [require_command("llvm-readelf"), "--needed-libs", *programs]
    told = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"^  (\S+)$", told, re.MULTILINE))
    assert "libc.so.6" in needed
    assert needed <= names


def test_bytecode_lies_beside_every_module(release: Path, cpu: str) -> None:
    names = {member.name for member, _ in members(release, cpu)}
    modules = [Path(name) for name in names if re.fullmatch(r"(?!.*\.dist-info/).*/exporter/.*\.py", name)]
    assert modules
    for path in modules:
        assert str(path.parent / f"__pycache__/{path.stem}.cpython-311.pyc") in names


def in_the_image(release: Path, cpu: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Name and version of Debian's packages and of Python's distributions, by what they left there."""
    debian, python = set(), set()
    for member, content in members(release, cpu):
        text = content.decode(errors="replace") if member.size < 1_000_000 else ""
        fields = dict(re.findall(r"^(Package|Name|Version): (.*)$", text, re.MULTILINE))
        if member.name.startswith(f"{STATUS}/"):
            debian.add((fields["Package"], fields["Version"]))
        elif member.name.endswith(".dist-info/METADATA"):
            python.add((name_of(fields["Name"]), fields["Version"]))
    return debian, python


def test_the_bill_of_materials_lists_what_is_in_the_image(release: Path, cpu: str) -> None:
    bill = json.loads((release / f"podjoule-{VERSION}-{cpu}.cdx.json").read_text())
    found: dict[str, set[tuple[str, str]]] = {"deb": set(), "pypi": set()}
    for each in bill["components"]:
        found[each["purl"].split(":")[1].split("/")[0]].add((each["name"], each["version"]))
    debian, python = in_the_image(release, cpu)
    assert found == {"deb": debian, "pypi": python}
    assert ("podjoule", VERSION) in python
    assert {"libbpf1", "python3"} <= {name for name, _ in debian}
    digests = [
        each["digest"] for each in _index(release)["manifests"] if each["platform"]["architecture"] == cpu
    ]
    assert [f"sha256:{each['content']}" for each in bill["metadata"]["component"]["hashes"]] == digests


def _index(release: Path) -> dict[str, Any]:
    (named,) = json.loads((release / "image/index.json").read_text())["manifests"]
    return releases.document(release / "image", named)


def test_the_bill_of_materials_is_cyclonedx(release: Path, cpu: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator, text = (
        JsonStrictValidator(SchemaVersion.V1_6),
        (release / f"podjoule-{VERSION}-{cpu}.cdx.json"),
    )
    assert validator.validate_str(text.read_text()) is None
    assert validator.validate_str(text.read_text().replace('"CycloneDX"', '"SPDX"')) is not None


def wheel_of(release: Path, cpu: str) -> Path:
    (found,) = release.glob(f"*{ {'amd64': 'x86_64', 'arm64': 'aarch64'}[cpu] }.whl")
    return found


def test_a_wheel_has_kernel_programs_and_is_for_one_cpu(release: Path, cpu: str) -> None:
    with zipfile.ZipFile(wheel_of(release, cpu)) as wheel:
        rows = wheel.read(f"podjoule-{VERSION}.dist-info/RECORD").decode().splitlines()
        for name, digest, size in (row.rsplit(",", 2) for row in rows if not row.endswith(",,")):
            content = wheel.read(name)
            assert len(content) == int(size)
            made = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert digest == f"sha256={made}"
        assert {row.rsplit(",", 2)[0] for row in rows} == set(wheel.namelist())
        for name in ("sched_switch", "pids"):
            assert wheel.read(f"ebpf/kernel/{name}.bpf.o")[18] == BPF


def test_pip_takes_a_wheel_for_its_cpu_and_for_no_other(release: Path, cpu: str, tmp_path: Path) -> None:
    def install(machine: str) -> subprocess.CompletedProcess[str]:
        options = ("--quiet", "--no-index", "--no-deps", "--no-compile", f"--target={tmp_path / machine}")
        platform = ("--only-binary=:all:", f"--platform=manylinux_2_17_{machine}")
        command = [sys.executable, "-m", "pip", "install", *options, *platform, wheel_of(release, cpu)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    here, other = ("x86_64", "aarch64") if cpu == "amd64" else ("aarch64", "x86_64")
    assert (done := install(here)).returncode == 0, done.stderr
    assert (tmp_path / here / "ebpf/kernel/sched_switch.bpf.o").exists()
    assert "not a supported wheel" in install(other).stderr


def test_the_sources_hold_what_a_wheel_is_built_from(release: Path) -> None:
    with tarfile.open(release / f"podjoule-{VERSION}.tar.gz") as archive:
        names = {member.name for member in archive}
        assert {member.uname for member in archive} == {""}
    top = f"podjoule-{VERSION}"
    assert {
        f"{top}/{name}" for name in ("pyproject.toml", "PKG-INFO", "ebpf/kernel/sched_switch.bpf.c")
    } <= names
    assert not any(name.endswith(".bpf.o") for name in names)


def test_provenance_is_of_every_file_and_names_all_that_it_is_made_from(release: Path) -> None:
    told = json.loads((release / "provenance.intoto.json").read_text())
    found = sums(release)
    del found["SHA256SUMS"], found["provenance.intoto.json"]
    assert {each["name"]: each["digest"]["sha256"] for each in told["subject"]} == found
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    source, *materials = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=releases.ROOT, capture_output=True, text=True, check=True
    )
    assert source["digest"] == {"gitCommit": commit.stdout.strip()}
    lock = json.loads((release / "lock.json").read_text())
    pinned = [each for kind in ("debian", "python") for rows in lock[kind].values() for each in rows]
    assert {each["digest"]["sha256"] for each in materials} == {each["sha256"] for each in pinned}


def test_the_chart_as_an_artifact_is_the_chart_as_a_file(release: Path) -> None:
    layout, (packed,) = release / "chart", tuple(release.glob("podjoule-chart-*.tgz"))
    named = {
        each["annotations"]["org.opencontainers.image.ref.name"]: each
        for each in json.loads((layout / "index.json").read_text())["manifests"]
    }
    assert set(named) == {VERSION, "artifacthub.io"}
    manifest = releases.document(layout, named[VERSION])
    assert releases.blob(layout, manifest["layers"][0]) == packed.read_bytes()
    chart = yaml.safe_load((releases.ROOT / "deploy/chart/Chart.yaml").read_text())
    assert releases.document(layout, manifest["config"]) == chart


def test_helm_renders_the_packed_chart_as_the_checkouts(release: Path) -> None:
    (packed,) = release.glob("podjoule-chart-*.tgz")
    rendered = [
        subprocess.run(
            [helm(), "template", "podjoule", chart, "--kube-version=1.34.0"], capture_output=True, check=True
        ).stdout
        for chart in (packed, releases.ROOT / "deploy/chart")
    ]
    assert rendered[0] == rendered[1]


def test_artifact_hub_is_told_of_this_version() -> None:
    chart = yaml.safe_load((releases.ROOT / "deploy/chart/Chart.yaml").read_text())
    told = {name.partition("/")[2]: value for name, value in chart["annotations"].items()}
    assert chart["version"] == chart["appVersion"] == VERSION
    (image,) = yaml.safe_load(told["images"])
    assert image["image"] == f"podjoule:{VERSION}"
    assert image["platforms"] == [f"linux/{cpu}" for cpu in ARCHITECTURES]
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    for change in yaml.safe_load(told["changes"]):
        assert change["kind"] in kinds
        assert change["description"]
    assert told["license"] == "Apache-2.0"
