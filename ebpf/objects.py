"""The compiled BPF objects that lie beside their source."""

from __future__ import annotations

from pathlib import Path

from ebpf.errors import SourceUnavailable

# By its path: importlib.resources brings zipfile, tempfile, shutil and more, half a megabyte for `run`.
_FOLDER = Path(__file__).with_name("kernel")


def compiled(name: str) -> bytes:
    """The contents of ebpf/kernel/NAME. Raises SourceUnavailable, saying how to make it, where it is none."""
    try:
        return (_FOLDER / name).read_bytes()
    except OSError as error:
        raise SourceUnavailable(
            f"the CO-RE object ebpf/kernel/{name} is missing: run `make ebpf/kernel/{name}`"
        ) from error
