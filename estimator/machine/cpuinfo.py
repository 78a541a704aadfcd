"""/proc/cpuinfo as it stands: one block per processor, in the x86 or the arm64 layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Block = dict[str, str]


@dataclass(frozen=True, slots=True)
class Processor:
    """One row of kepler_node_cpu_info; empty strings for what the kernel does not say (arm64, guests)."""

    processor: str
    vendor_id: str
    model_name: str
    physical_id: str
    core_id: str


def read_blocks(procfs: Path) -> list[Block]:
    """The blocks of <procfs>/cpuinfo, keys in lower case; empty where the file is missing or unreadable."""
    try:
        text = (procfs / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return parse_blocks(text)


def parse_blocks(text: str) -> list[Block]:
    """Split at empty lines and keep the blocks that are a processor's.

    Boards add trailing blocks ("Hardware", "Serial") that describe no processor. 32-bit Arm kernels name the
    model in a "Processor" line above the first block; it carries no number and is left out.
    """
    blocks = [dict(_entries(chunk)) for chunk in text.split("\n\n")]
    return [block for block in blocks if block.get("processor", "").isdecimal()]


def _entries(chunk: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in chunk.splitlines())
    return [(key.strip().lower(), value.strip()) for key, colon, value in pairs if colon]


def read_processors(procfs: Path) -> list[Processor]:
    """What kepler_node_cpu_info tells of each processor, in the kernel's order."""
    return [
        Processor(
            processor=block["processor"],
            vendor_id=block.get("vendor_id", block.get("cpu implementer", "")),
            model_name=block.get("model name", ""),
            physical_id=block.get("physical id", ""),
            core_id=block.get("core id", ""),
        )
        for block in read_blocks(procfs)
    ]
