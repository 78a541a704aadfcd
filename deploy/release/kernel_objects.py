"""The kernel programs, compiled for each CPU that a wheel is for."""

from __future__ import annotations

from pathlib import Path

from deploy.release.programs import run

_TARGETS = {"amd64": "x86", "arm64": "arm64"}  # as libbpf's headers call them


def compiled(sources: Path, architecture: str) -> dict[str, bytes]:
    """Path in the package -> bytes, as the Makefile makes them; the sources are left as they were."""
    paths = [path.with_suffix(".o") for path in sorted((sources / "ebpf/kernel").glob("*.bpf.c"))]
    names = [str(path.relative_to(sources)) for path in paths]
    cpu = f"BPF_ARCH={_TARGETS[architecture]}"
    run("make", "--silent", "--old-file=.venv/.set-up-for-run", cpu, *names, folder=sources)
    found = {name: path.read_bytes() for name, path in zip(names, paths, strict=True)}
    for path in paths:
        path.unlink()
    return found
