"""The packages: built twice alike, installed without a network, upgraded under load, purged to nothing."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fresh.booted_machine import Booted, archive_of, booted, enter_network
from tests.live.test_continuity import Watch, assert_gone, in_kernel, value_of
from tests.programs import program

pytestmark = [pytest.mark.fresh, pytest.mark.timeout(900), pytest.mark.usefixtures("require_root_bpf")]

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (
    "dpkg-deb",
    "rpm",
    "rpmbuild",
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
LOADS = 3
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


class WatchInside(Watch):
    """A watch on a machine's own network."""

    def __init__(self, machine: Booted) -> None:
        super().__init__()
        self._pid = machine.pid
        self.url = "http://127.0.0.1:28283"

    def _run(self) -> None:
        enter_network(self._pid)
        super()._run()


def start_loads(machine: Booted) -> None:
    """Units that use a third of a CPU, some of it in processes that come and go."""
    script = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.1; done"
    for number in range(LOADS):
        machine.run(f"systemd-run --quiet --unit=load-{number} sh -c '{script}'")


def used_seconds(machine: Booted, number: int) -> float:
    text = (machine.unit(f"load-{number}.service") / "cpu.stat").read_text()
    return int(text.split()[1]) / 1e6


def assert_all_is_counted(machine: Booted) -> None:
    """Have the loads stand still; every second that the kernel says they used is theirs on the page."""
    machine.run("systemctl kill --signal=STOP 'load-*'")
    used = [used_seconds(machine, number) for number in range(LOADS)]
    deadline = time.monotonic() + 30
    while True:
        page = machine.get("/metrics")
        counted = [
            value_of(page, rf'podjoule_cgroup_cpu_seconds_total{{cgroup="[^"]*load-{number}.service"')
            for number in range(LOADS)
        ]
        if counted == pytest.approx(used, rel=0.01, abs=0.02) or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert counted == pytest.approx(used, rel=0.01, abs=0.02)
    assert min(used) > 0.1


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
        with WatchInside(machine) as watch:
            start_loads(machine)
            time.sleep(3)
            first = machine.pid_of("podjoule.service")
            machine.run("dpkg --force-confold -i /share/newer.deb")
            second = machine.pid_of("podjoule.service")
            assert second != first
            time.sleep(3)
            assert_all_is_counted(machine)
        assert watch.fallen == []
        assert watch.pages > 10
        page = machine.get("/metrics")
        assert value_of(page, 'podjoule_downtime_seconds_total{.*counted="true"') > 0
        assert value_of(page, 'podjoule_downtime_seconds_total{.*counted="false"') == 0
        configuration = machine.run("cat /etc/podjoule/podjoule.yaml")
        assert (OLD_LINES in configuration) == changes
        assert ("level: warn" in configuration) == changes
        assert machine.run("find /usr/lib/podjoule -path '*exporter/gone*'") == ""
        held = in_kernel(second)
        machine.run("systemctl kill --signal=KILL 'load-*'; dpkg --purge podjoule")
        assert_gone(held)
        assert machine.run("ls /sys/fs/bpf").split() == ["maps.debug", "progs.debug"]
        assert machine.run("getent passwd podjoule", ok=False) == ""
        assert {
            path for path in machine.files() - before if not re.search("/(passwd|group|g?shadow)-?$", path)
        } == set()


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


def test_the_rpm_is_installed_and_leaves_its_user_alone(packages: Path, tmp_path: Path) -> None:
    """Into an Ubuntu, which has the Python that it wants: there is no machine with dnf here."""
    root = tmp_path / "root"
    root.mkdir()
    archive = archive_of("noble")
    subprocess.run([program("tar"), "-x", "-C", root, "-f", archive], check=True)
    before = files_below(root)
    rpm = [program("rpm"), f"--root={root}"]
    inside = [program("unshare"), f"--root={root}", "env", "-i", "PATH=/usr/sbin:/usr/bin"]
    subprocess.run([*rpm, "--install", "--nodeps", among(packages, "*.el9.x86_64.rpm")], check=True)
    said = subprocess.run(
        [*inside, "podjoule", "config", "check", "--config.file=/etc/podjoule/podjoule.yaml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pin: /sys/fs/bpf/podjoule" in said.stdout
    assert "podjoule:" in (root / "etc/passwd").read_text()
    subprocess.run([*rpm, "--erase", "podjoule"], check=True)
    left = files_below(root) - before
    assert {
        path
        for path in left
        if not path.startswith(("root/.rpmdb", "var/lib/rpm", "etc/passwd", "etc/group"))
    } == set()


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}
