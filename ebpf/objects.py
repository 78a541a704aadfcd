"""The compiled BPF objects that lie beside their source."""

from __future__ import annotations

from importlib import resources

from ebpf.errors import SourceUnavailable


def compiled(name: str) -> bytes:
    """The contents of ebpf/kernel/NAME. Raises SourceUnavailable, saying how to make it, where it is none."""
    try:
        return resources.files("ebpf").joinpath("kernel", name).read_bytes()
    except OSError as error:
        raise SourceUnavailable(
            f"the CO-RE object ebpf/kernel/{name} is missing: run `make ebpf/kernel/{name}`"
        ) from error
