"""The kernel programs, compiled for each CPU that a wheel is for."""

from __future__ import annotations

import platform
from pathlib import Path

from deploy.release.programs import run

_TARGETS = {"amd64": "x86", "arm64": "arm64"}


def compiled(sources: Path, architecture: str, place: Path) -> dict[str, bytes]:
    """Path in the package -> bytes, as the Makefile compiles them. place: a folder for them."""
    found = {}
    place.mkdir(parents=True, exist_ok=True)
    for source in sorted((sources / "ebpf/kernel").glob("*.bpf.c")):
        path = place / f"{source.stem}.o"
        # BTF names each source, in whatever folder it was: as one of no folder it is the same everywhere.
        flags = ("-O2", "-g", "-target", "bpf", "-fdebug-compilation-dir=.")
        includes = (f"-I/usr/include/{platform.machine()}-linux-gnu", "-Iebpf/kernel")
        cpu = f"-D__TARGET_ARCH_{_TARGETS[architecture]}"
        run("clang", *flags, cpu, *includes, "-c", source.relative_to(sources), "-o", path, folder=sources)
        run("llvm-strip", "-g", path)
        found[f"ebpf/kernel/{path.name}"] = path.read_bytes()
    return found
