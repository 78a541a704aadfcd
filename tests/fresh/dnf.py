"""dnf of this machine, offline, on the root of another: packages that lie in files alone."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.programs import program

_STAND_IN = """\
Name: stand-in
Version: 1
Release: 1
Summary: Says that it is what a distribution has
License: Apache-2.0
BuildArch: noarch
Provides: {provides}

%description
Nothing.

%files
"""


class Dnf:
    """folder: where it keeps its own files. enter: a command that goes to where `root` lies, if not here."""

    def __init__(self, root: Path, folder: Path, enter: Sequence[str] = ()) -> None:
        folder.mkdir()
        (folder / "dnf.conf").write_text("[main]\nplugins=0\n")
        kept = ("cachedir", "persistdir", "reposdir")
        self._command = [
            *(*enter, program("dnf"), "--assumeyes", f"--config={folder}/dnf.conf", f"--installroot={root}"),
            *("--releasever=9", f"--setopt=logdir={folder}"),
            *(f"--setopt={name}={folder}/{name}" for name in kept),
        ]

    def __call__(self, *arguments: str | Path) -> str:
        """What it said, which has gone well."""
        done = self.try_to(*arguments)
        assert done.returncode == 0, f"{arguments}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def try_to(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """The same, whether it goes well or not."""
        return subprocess.run([*self._command, *arguments], cwd="/", capture_output=True, text=True)


def requirements(package: Path) -> set[str]:
    """What a package asks the distribution for."""
    asked = [program("rpm"), "-qp", "--requires", package]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line for line in lines if not line.startswith("rpmlib(")}


def stand_in(package: Path, folder: Path) -> Path:
    """A package of nothing that provides all this: the root is another distribution's, which has no RPMs."""
    spec = folder / "stand-in.spec"
    spec.write_text(_STAND_IN.format(provides=", ".join(sorted(requirements(package)))))
    return rpmbuild(spec, folder)


def older_rpm(package: Path, spec: Path, version: str, lines: str, folder: Path, without: str) -> Path:
    """A build before this one, by the same spec: with a module that has gone since.

    lines: what its configuration has more. without: a pattern of what it has less, which saves time.
    """
    tree = folder / version
    unpack(package, tree, without)
    site = next((tree / "usr/lib/podjoule/lib").glob("python*")) / "site-packages"
    gone = site / "exporter/gone/gone.py"
    gone.parent.mkdir(parents=True)
    gone.write_text("GONE = True\n")
    with (tree / "etc/podjoule/podjoule.yaml").open("a") as file:
        file.write(lines)
    fast = folder / f"{version}.spec"
    fast.write_text(spec.read_text().replace("w12.zstdio", "w.ufdio"))
    python = site.parent.name.removeprefix("python")
    made = {"version": version, "distribution": "el9", "python": python, "tree": str(tree)}
    return rpmbuild(fast, folder, **{f"podjoule_{name}": value for name, value in made.items()})


def unpack(package: Path, into: Path, without: str) -> None:
    """Lay down what is in a package."""
    into.mkdir()
    with package.open("rb") as file:
        packed = subprocess.run(
            [program("rpm2archive"), "-n", "-"], stdin=file, capture_output=True, check=True
        )
    command = [program("tar"), "-x", "-C", into, f"--exclude={without}"]
    subprocess.run(command, input=packed.stdout, check=True)


def rpmbuild(spec: Path, folder: Path, **defined: str) -> Path:
    """The package of a spec."""
    macros = {"_topdir": f"{folder}/rpmbuild", "_build_name_fmt": f"{spec.stem}.rpm", "_rpmdir": str(folder)}
    defines = [f"--define={name} {value}" for name, value in (macros | defined).items()]
    command = [program("rpmbuild"), "-bb", "--quiet", *defines, spec]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / f"{spec.stem}.rpm"
