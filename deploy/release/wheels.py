"""podjoule's own distributions: a wheel for each CPU, with its kernel programs, and the sources."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import sys
import time
import zipfile
from pathlib import Path

from deploy.release.programs import run
from deploy.release.pypi import MACHINES
from deploy.release.sources import Sources
from deploy.release.trees import gzipped, read_tar, with_plain_modes, write_tar

_BUILD = (sys.executable, "-m", "build", "--no-isolation")


def build(sources: Sources, place: Path) -> tuple[bytes, bytes]:
    """A wheel that has no kernel programs yet, and the source distribution. place: a folder for both."""
    variables = {"SOURCE_DATE_EPOCH": str(sources.epoch)}
    run(*_BUILD, f"--outdir={place}", folder=sources.folder, variables=variables)
    (wheel,), (source,) = place.glob("*.whl"), place.glob("*.tar.gz")
    return wheel.read_bytes(), source.read_bytes()


def source_distribution(built: bytes, epoch: int) -> bytes:
    """As it was built, without the dates, the owner and the umask of this machine."""
    return gzipped(write_tar(with_plain_modes(read_tar(gzip.decompress(built), bool)), epoch))


def tags(architecture: str) -> list[str]:
    """The platforms: Linux of that CPU, whatever its C library: nothing in a wheel is linked with it."""
    machine = MACHINES[architecture]
    return [f"manylinux_2_17_{machine}", f"musllinux_1_1_{machine}"]


def file_name(version: str, architecture: str) -> str:
    """As pip reads it."""
    return f"podjoule-{version}-py3-none-{'.'.join(tags(architecture))}.whl"


def for_architecture(wheel: bytes, architecture: str, objects: dict[str, bytes], epoch: int) -> bytes:
    """The wheel with the kernel programs of a CPU, which its name says then."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    files |= objects
    folder = next(name.split("/")[0] for name in files if name.endswith(".dist-info/WHEEL"))
    lines = "".join(f"Tag: py3-none-{tag}\n" for tag in tags(architecture))
    told = re.sub(r"(Tag: .*\n)+", lines, files[f"{folder}/WHEEL"].decode())
    files[f"{folder}/WHEEL"] = told.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false").encode()
    del files[f"{folder}/RECORD"]
    return _zipped({**files, f"{folder}/RECORD": _record(files, folder)}, epoch)


def _record(files: dict[str, bytes], folder: str) -> bytes:
    rows = [f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in sorted(files.items())]
    return "".join([*rows, f"{folder}/RECORD,,\n"]).encode()


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zipped(files: dict[str, bytes], epoch: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
            info.external_attr, info.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, whose modes these are
            archive.writestr(info, data)
    return buffer.getvalue()
