"""Debian's packages of an image, of any CPU: resolved and fetched by apt, unpacked and never installed.

Nothing of them runs here, so that a machine of one CPU makes the image of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from deploy.release.errors import ReleaseError
from deploy.release.lock import Pinned, missing, pin
from deploy.release.programs import output, run
from deploy.release.trees import Tree, file, merged_usr, read_tar, without_special_bits

SUITE = "bookworm"
WANTED = (
    *("base-files", "base-passwd", "ca-certificates", "libbpf1", "libstdc++6", "netbase", "python3"),
    "tzdata",
)
# What packages need to be installed or configured; an image that is laid down needs none.
_FOR_INSTALLING = {
    *("debconf", "dpkg", "libdebconfclient0", "mawk", "openssl", "perl-base", "readline-common", "tar"),
    *("libacl1", "libmd0", "libpcre2-8-0", "libselinux1"),
}
STATUS = "var/lib/dpkg/status.d"  # where scanners look for the packages of an image without dpkg
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_DEFAULT_MIRROR = "http://deb.debian.org"
_NOT_TAKEN = (
    *(f"usr/share/{name}/" for name in ("bug", "doc-base", "info", "lintian", "locale", "man", "perl5")),
    *(
        "usr/share/zoneinfo/posix/",
        "usr/share/zoneinfo/right/",
        "usr/sbin/",
        "var/cache/",
        "etc/init.d/",
        "etc/cron",
    ),
)
# Not in any package, since their scripts make it. Names before services: /etc/hosts comes first.
_NAME_SERVICES = (
    "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
)


class Apt:
    """An apt of its own, in a folder, for one architecture; this machine's packages are none of its concern.

    mirror: where Debian's archives are, such as http://deb.debian.org, or a snapshot of a day.
    """

    def __init__(self, place: Path, architecture: str, mirror: str = "") -> None:
        self._place, self._mirror = place / f"apt-{architecture}", mirror
        self._options = [
            *(
                "-qq",
                "-o",
                f"Dir::Etc::sourcelist={self._place}/sources.list",
                "-o",
                "Dir::Etc::sourceparts=-",
            ),
            *("-o", f"Dir::State::lists={self._place}/lists", "-o", f"Dir::Cache={self._place}/cache"),
            *("-o", f"Dir::State::status={self._place}/status", "-o", "APT::Sandbox::User=root"),
            *("-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures={architecture}"),
            *("-o", "Acquire::Check-Valid-Until=false"),  # a snapshot is as old as it is
        ]
        self._updated = False

    def resolve(self, wanted: Sequence[str]) -> list[str]:
        """The files of these and of what they need, as apt names them: NAME_VERSION_ARCHITECTURE.deb."""
        self._update()
        words = ("install", "--no-install-recommends", "--print-uris", *wanted)
        lines = run("apt-get", *self._options, *words).splitlines()
        files = [line.split()[1] for line in lines if line.startswith("'")]
        return [each for each in files if each.split("_")[0] not in _FOR_INSTALLING]

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Download NAME=VERSION each, whose signatures apt checks."""
        self._update()
        try:
            run("apt-get", *self._options, "download", *names, folder=folder)
        except ReleaseError as error:
            raise ReleaseError(
                f"{error}\nDebian's mirror keeps the newest versions alone: --mirror names a snapshot of the "
                "lock's day, or without --lock all is resolved anew"
            ) from error

    def _update(self) -> None:
        if self._updated:
            return
        for name in ("lists/partial", "cache/archives/partial"):
            (self._place / name).mkdir(parents=True, exist_ok=True)
        (self._place / "status").touch()
        lines = [
            f"deb [signed-by={_KEYRING}] {self._archive(name)} {suite} main\n"
            for name, suite in (
                ("debian", SUITE),
                ("debian", f"{SUITE}-updates"),
                ("debian-security", f"{SUITE}-security"),
            )
        ]
        (self._place / "sources.list").write_text("".join(lines))
        run("apt-get", *self._options, "update")
        self._updated = True

    def _archive(self, name: str) -> str:
        """Where one is: as told, else as this machine is set up, else Debian's own."""
        if not self._mirror:
            told = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
            for uri in told.splitlines():
                if uri.rstrip("/").endswith(f"/{name}"):
                    return uri
        return f"{self._mirror or _DEFAULT_MIRROR}/{name}"


def resolve(apt: Apt, folder: Path) -> tuple[Pinned, ...]:
    """What an image of WANTED takes, fetched to a folder."""
    files = apt.resolve(WANTED)
    if absent := [each for each in files if not (folder / each).exists()]:
        apt.fetch(["=".join(_named(each)) for each in absent], folder)
    return tuple(pin(folder / each, *_named(each)) for each in sorted(files))


def fetch(apt: Apt, pinned: Sequence[Pinned], folder: Path) -> None:
    """Have what a lock names in the folder. Raises ReleaseError for what is not to be had as it was."""
    if absent := missing(folder, pinned):
        apt.fetch([f"{each.name}={each.version}" for each in absent], folder)
        if absent := missing(folder, pinned):
            raise ReleaseError(f"apt gave another file than {absent[0].file}, which the lock names")


def _named(file_name: str) -> tuple[str, str]:
    name, version, _ = file_name.split("_")
    return name, unquote(version)


def unpack(pinned: Sequence[Pinned], folder: Path) -> Tree:
    """The root that these packages make, with what their scripts would have made of it."""
    tree: Tree = merged_usr()
    for each in pinned:
        path = folder / each.file
        tree |= read_tar(output("dpkg-deb", "--fsys-tarfile", path), _is_taken)
        tree[f"{STATUS}/{each.name}"] = file(output("dpkg-deb", "--field", path))
    return without_special_bits(tree | _configured(tree))


def _is_taken(path: str) -> bool:
    if path.startswith("usr/share/doc/"):
        return path.endswith("/copyright")
    return not f"{path}/".startswith(_NOT_TAKEN) and "/gconv/" not in f"{path}/"


def _configured(tree: Tree) -> Tree:
    """Users, names and the bundle of certificates."""
    certificates = [
        entry.data
        for path, entry in sorted(tree.items())
        if path.startswith("usr/share/ca-certificates/") and path.endswith(".crt")
    ]
    return {
        "etc/passwd": file(tree["usr/share/base-passwd/passwd.master"].data),
        "etc/group": file(tree["usr/share/base-passwd/group.master"].data),
        "etc/nsswitch.conf": file(_NAME_SERVICES.encode()),
        "etc/ssl/certs/ca-certificates.crt": file(b"".join(certificates)),
    }
