"""The packages: built twice alike, installed without a network, upgraded under load, purged to nothing."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fresh.booted_machine import booted
from tests.fresh.dnf import Dnf, older_rpm, requirements, stand_in
from tests.fresh.upgrading import remove_from_kernel, upgrade_under_load
from tests.programs import program

pytestmark = [pytest.mark.fresh, pytest.mark.timeout(900), pytest.mark.usefixtures("require_root_bpf")]

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "deploy/packages/podjoule.spec"
PROGRAMS = (
    "dpkg-deb",
    "rpm",
    "rpmbuild",
    "rpm2archive",
    "dnf",
    "clang",
    "llvm-strip",
    "make",
    "git",
    "mmdebstrap",
    "nsenter",
    "unshare",
)
# The asyncio twin of the kubernetes client, which nothing of ours imports, and what it alone asks for.
LEFT_OUT = {"aiohttp", "aiohttp-retry"}
EXTRAS = ("fast", "gpu", "otlp", "top")
# The system's libraries, and the Debian packages that have them.
SYSTEM_LIBRARIES = {
    "libc6": ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux"),
    "libgcc-s1": ("libgcc_s.so",),
    "libstdc++6": ("libstdc++.so",),
    "zlib1g": ("libz.so",),
}
# What package managers write of their own.
_OF_OTHERS = re.compile("/(passwd|group|g?shadow)-?$|^/etc/dnf")
OLD_LINES = "monitor:\n  interval: 1s\n"


def build(out: Path, *arguments: str) -> Path:
    subprocess.run(
        [ROOT / "deploy/packages/build", "--out", out, *arguments],
        check=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    return out


def among(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in PROGRAMS:
        program(name)
    wanted = ("--for", "deb12", "--for", "ubuntu24.04", "--for", "el9")
    return build(tmp_path_factory.mktemp("packages"), "--arch", "amd64", *wanted)


@pytest.fixture(scope="module")
def unpacked(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in Debian 12's."""
    into = tmp_path_factory.mktemp("unpacked")
    subprocess.run([program("dpkg-deb"), "-R", among(packages, "*deb12_amd64.deb"), into], check=True)
    return into


def test_two_builds_are_byte_for_byte_the_same(packages: Path, tmp_path: Path) -> None:
    again = build(tmp_path, "--arch", "amd64", "--for", "ubuntu24.04", "--for", "el9")
    made = sorted(path.name for path in again.iterdir())
    assert len(made) == 2
    assert filecmp.cmpfiles(packages, again, made, shallow=False) == (made, [], [])


def test_it_holds_what_is_imported_and_no_more(unpacked: Path) -> None:
    site = unpacked / "usr/lib/podjoule/lib/python3.11/site-packages"
    there = {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=[str(site)])}
    assert set(closure("podjoule", EXTRAS, there)) == set(there)
    unwanted = [path for path in site.rglob("*") if path.name in {"tests", "__pycache__", "direct_url.json"}]
    assert unwanted == []


def closure(name: str, extras: tuple[str, ...], there: dict[str, Distribution]) -> Iterator[str]:
    """The distribution and all that it asks for, of versions that suit it."""
    waiting, seen = [Requirement(f"{name}[{','.join(extras)}]")], set()
    while waiting:
        wanted = waiting.pop()
        key = canonicalize_name(wanted.name)
        if (key, *sorted(wanted.extras)) in seen or key in LEFT_OUT:
            continue
        seen.add((key, *sorted(wanted.extras)))
        assert wanted.specifier.contains(there[key].version, prereleases=True), wanted
        yield key
        for text in there[key].requires or []:
            each = Requirement(text)
            if each.marker is None or any(
                each.marker.evaluate({**default_environment(), "extra": extra})
                for extra in ("", *wanted.extras)
            ):
                waiting.append(each)


def test_it_depends_on_every_library_that_it_does_not_bring(unpacked: Path) -> None:
    libraries = [path for path in unpacked.rglob("*.so*") if path.is_file()]
    text = subprocess.run([program("readelf"), "-d", *libraries], capture_output=True, text=True).stdout
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", text)) - {path.name for path in libraries}
    depends = re.search(r"^Depends: (.*)$", (unpacked / "DEBIAN/control").read_text(), re.MULTILINE)
    assert depends
    named = {word.split()[0] for word in depends[1].split(", ")}
    brought = tuple(
        start for package in SYSTEM_LIBRARIES if package in named for start in SYSTEM_LIBRARIES[package]
    )
    assert needed
    assert {library for library in needed if not library.startswith(brought)} == set()


def test_the_package_for_arm64_holds_code_for_arm64(tmp_path: Path) -> None:
    build(tmp_path, "--arch", "arm64", "--for", "deb13")
    subprocess.run(
        [program("dpkg-deb"), "-R", among(tmp_path, "*+deb13_arm64.deb"), tmp_path / "x"], check=True
    )
    site = tmp_path / "x/usr/lib/podjoule/lib/python3.13/site-packages"
    libraries = [path for path in site.rglob("*.so*") if path.is_file()]
    machines = {int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries}
    assert machines == {183}  # EM_AARCH64
    extensions = {match[1] for path in libraries if (match := re.search(r"\.(cpython-\d+)", path.name))}
    assert extensions == {"cpython-313"}
    ours = (site / "ebpf/kernel/sched_switch.bpf.o").read_bytes()
    assert int.from_bytes(ours[18:20], "little") == 247  # EM_BPF; no register of a CPU is named in it


def older(package: Path, folder: Path) -> Path:
    """The build before this one: a version less, a module that has gone since, another configuration file."""
    tree = folder / "older"
    subprocess.run([program("dpkg-deb"), "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: ", "Version: 0.0.", control.read_text(), flags=re.MULTILINE))
    gone = next((tree / "usr/lib/podjoule/lib").glob("python*")) / "site-packages/exporter/gone/gone.py"
    gone.parent.mkdir()
    gone.write_text("GONE = True\n")
    with (tree / "etc/podjoule/podjoule.yaml").open("a") as file:
        file.write(OLD_LINES)
    made = folder / "older.deb"
    subprocess.run([program("dpkg-deb"), "--root-owner-group", "-Znone", "--build", tree, made], check=True)
    shutil.rmtree(tree)
    return made


@pytest.mark.parametrize(("suite", "suffix"), [("bookworm", "deb12"), ("noble", "ubuntu24.04")])
def test_installed_upgraded_under_load_and_purged(
    packages: Path, tmp_path: Path, suite: str, suffix: str
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    newer = shutil.copy(among(packages, f"*+{suffix}_amd64.deb"), share / "newer.deb")
    older(newer, share)
    changes = suite == "bookworm"
    with booted(suite, share) as machine:
        before = machine.files()
        machine.run("dpkg -i /share/older.deb")
        assert machine.run("systemctl is-active podjoule") == "active\n"
        assert "podjoule_build_info" in machine.get("/metrics"), "it was said to be up before it was"
        if changes:
            machine.run("echo 'log: {level: warn}' >> /etc/podjoule/podjoule.yaml; systemctl reload podjoule")
        upgrade_under_load(machine, lambda: machine.run("dpkg --force-confold -i /share/newer.deb"))
        configuration = machine.run("cat /etc/podjoule/podjoule.yaml")
        assert (OLD_LINES in configuration) == changes
        assert ("level: warn" in configuration) == changes
        assert machine.run("find /usr/lib/podjoule -path '*exporter/gone*'") == ""
        remove_from_kernel(machine, lambda: machine.run("dpkg --purge podjoule"))
        assert machine.run("getent passwd podjoule", ok=False) == ""
        assert {path for path in machine.files() - before if not _OF_OTHERS.search(path)} == set()


def test_the_rpm_says_what_it_wants_and_keeps_a_changed_configuration(packages: Path) -> None:
    package = among(packages, "*.el9.x86_64.rpm")

    def ask(*words: str) -> str:
        return subprocess.run(
            [program("rpm"), "-qp", *words, package], capture_output=True, text=True, check=True
        ).stdout

    assert {"libbpf.so.1()(64bit)", "/usr/bin/python3.12", "libstdc++.so.6()(64bit)"} <= set(
        ask("--requires").splitlines()
    )
    assert ask("--queryformat", r"[%{FILENAMES} %{FILEFLAGS:fflags}\n]").count(
        "/etc/podjoule/podjoule.yaml cn\n"
    )
    assert set(ask("--queryformat", r"[%{FILEUSERNAME} %{FILEGROUPNAME}\n]").splitlines()) == {"root root"}


def test_dnf_installs_upgrades_under_load_and_removes(packages: Path, tmp_path: Path) -> None:
    """On an Ubuntu, which has the Python that it wants, with presets as RHEL has them."""
    newer = among(packages, "*.el9.x86_64.rpm")
    older = older_rpm(newer, SPEC, "0.0.1", OLD_LINES, tmp_path, without="*/site-packages/kubernetes/*")
    distribution = stand_in(newer, tmp_path)
    with booted("noble", tmp_path) as machine:
        dnf = Dnf(machine.root, tmp_path / "dnf", machine.beside)
        refused = dnf.try_to("install", newer).stderr
        assert set(re.findall("nothing provides (.*) needed by podjoule", refused)) == requirements(newer)
        machine.run(
            "mkdir -p /etc/systemd/system-preset; echo 'disable *' > /etc/systemd/system-preset/90-all.preset"
        )
        before = machine.files()
        dnf("install", older, distribution)
        assert machine.run("systemctl is-enabled podjoule || systemctl is-active podjoule || :") == (
            "disabled\ninactive\n"
        )
        machine.run(
            "echo 'log: {level: warn}' >> /etc/podjoule/podjoule.yaml; systemctl enable --now podjoule"
        )
        upgrade_under_load(machine, lambda: dnf("upgrade", newer))
        assert machine.run("systemctl is-enabled podjoule") == "enabled\n"
        assert "level: warn" in machine.run("cat /etc/podjoule/podjoule.yaml")
        assert OLD_LINES not in machine.run("cat /etc/podjoule/podjoule.yaml.rpmnew")
        assert machine.run("find /usr/lib/podjoule -path '*exporter/gone*'") == ""
        remove_from_kernel(machine, lambda: dnf("remove", "podjoule"))
        assert machine.run("getent passwd podjoule").startswith("podjoule:")
        left = {path for path in machine.files() - before if not _OF_OTHERS.search(path)}
        kept = "/etc/podjoule/podjoule.yaml"
        assert left == {"/etc/podjoule", f"{kept}.rpmsave", f"{kept}.rpmnew"}


def test_an_rpm_s_configuration_that_nobody_changed_is_replaced(packages: Path, tmp_path: Path) -> None:
    newer = among(packages, "*.el9.x86_64.rpm")
    bare = [
        older_rpm(newer, SPEC, version, lines, tmp_path, without="*/site-packages/*")
        for version, lines in (("0.0.1", OLD_LINES), ("0.0.2", ""))
    ]
    dnf = Dnf(tmp_path / "root", tmp_path / "dnf")
    dnf("install", "--setopt=tsflags=noscripts", bare[0], stand_in(newer, tmp_path))
    configuration = tmp_path / "root/etc/podjoule/podjoule.yaml"
    assert configuration.read_text().endswith(OLD_LINES)
    dnf("upgrade", "--setopt=tsflags=noscripts", bare[1])
    assert OLD_LINES not in configuration.read_text()
    assert [path.name for path in configuration.parent.iterdir()] == ["podjoule.yaml"]
    dnf("remove", "--setopt=tsflags=noscripts", "podjoule")
    assert not configuration.parent.exists()
