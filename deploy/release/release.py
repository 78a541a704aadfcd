"""A release, from this checkout to a folder of files: what is made, in which order."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.dependencies import dependencies
from deploy.release import bytecode, charts, debian, kernel_objects, provenance, pypi, sbom, wheels
from deploy.release import lock as locks
from deploy.release.images import Images, configuration
from deploy.release.lock import ARCHITECTURES, Lock, sha256_of
from deploy.release.oci import Descriptor, Layout
from deploy.release.programs import run, versions
from deploy.release.sources import ROOT, Sources, export

LOCK, SUMS, PROVENANCE = "lock.json", "SHA256SUMS", "provenance.intoto.json"
IMAGE, CHART = "image", "chart"
BUILDER = "urn:podjoule:somebody"
"""Who makes it, where nobody says."""

_PACKAGES = "deploy/packages/build"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. lock: of an earlier release. inputs: a folder where downloads are kept between releases.

    mirror: of Debian, such as a snapshot. builder: a URI of who makes it. packages: also deb and rpm.
    url, repository: where the sources and the image will be, for the chart.
    """

    out: Path
    inputs: Path
    lock: Path | None = None
    mirror: str = ""
    builder: str = BUILDER
    packages: bool = True
    url: str = ""
    repository: str = ""


def make(plan: Plan) -> None:
    """Make a release in a folder, which is emptied first. Raises ReleaseError."""
    plan.inputs.mkdir(parents=True, exist_ok=True)
    if plan.out.exists():
        shutil.rmtree(plan.out)
    plan.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="podjoule-release-") as place:
        sources = export(Path(place) / "sources")
        charts.publish_as(sources, plan.url, plan.repository)
        lock = have_inputs(plan, sources)
        (plan.out / LOCK).write_text(locks.write(lock))
        _own_and_images(plan, sources, lock, Path(place))
        _chart(plan, sources)
        if plan.packages:
            _packages(plan, sources)
    _conclude(plan, sources, lock)


def have_inputs(plan: Plan, sources: Sources) -> Lock:
    """The lock that was given, or one that is resolved now; all it names is in the folder then."""
    apts = {cpu: debian.Apt(plan.inputs, cpu, plan.mirror) for cpu in ARCHITECTURES}
    if plan.lock is None:
        system = {cpu: debian.resolve(apts[cpu], plan.inputs) for cpu in ARCHITECTURES}
        python = locks.python_of(system[ARCHITECTURES[0]])
        wanted = dependencies(sources.folder / "pyproject.toml", *pypi.EXTRAS)
        found = {cpu: pypi.resolve(wanted, cpu, python, plan.inputs) for cpu in ARCHITECTURES}
        return Lock(debian.SUITE, system, found, versions())
    lock = locks.read(plan.lock)
    for line in lock.changed_tools(versions()):
        _say(line)
    for cpu in ARCHITECTURES:
        debian.fetch(apts[cpu], lock.debian[cpu], plan.inputs)
        pypi.fetch(lock.python[cpu], cpu, lock.python_version(), plan.inputs)
    return lock


def _own_and_images(plan: Plan, sources: Sources, lock: Lock, place: Path) -> None:
    wheel, source = wheels.build(sources, place / "built")
    packed = wheels.source_distribution(source, sources.epoch)
    (plan.out / f"podjoule-{sources.version}.tar.gz").write_bytes(packed)
    images = Images(lock, plan.inputs, place, bytecode.architecture())
    layout, found = Layout(plan.out / IMAGE), list[Descriptor]()
    for cpu in ARCHITECTURES:
        objects = kernel_objects.compiled(sources.folder, cpu)
        own = wheels.for_architecture(wheel, cpu, objects, sources.epoch)
        (plan.out / wheels.file_name(sources.version, cpu)).write_bytes(own)
        image = images.image(cpu, own)
        found.append(layout.add_image(image.layers, cpu, configuration(sources), sources.epoch))
        bill = sbom.bill(image, found[-1]["digest"], lock, sources)
        (plan.out / f"podjoule-{sources.version}-{cpu}.cdx.json").write_text(bill)
    revision = {"org.opencontainers.image.revision": sources.commit}
    layout.close({sources.version: layout.add_index(found, revision)})


def _chart(plan: Plan, sources: Sources) -> None:
    packed = charts.archive(sources)
    version = charts.metadata(sources.folder / "deploy/chart")["version"]
    (plan.out / f"podjoule-chart-{version}.tgz").write_bytes(packed)
    charts.write_layout(sources, packed, Layout(plan.out / CHART))


def _packages(plan: Plan, sources: Sources) -> None:
    """Those of deb and rpm, which have a build of their own."""
    build = ROOT / _PACKAGES  # which asks git what is tracked
    if not build.exists():
        _say(f"no packages: there is no {_PACKAGES}")
        return
    variables = {"SOURCE_DATE_EPOCH": str(sources.epoch), "PYTHON": sys.executable}
    run(build, "--out", plan.out / "packages", folder=ROOT, variables=variables)


def _conclude(plan: Plan, sources: Sources, lock: Lock) -> None:
    """How it was made, then what each file hashes to, as `sha256sum --check` reads it."""
    told = provenance.statement(_sums(plan.out), sources, lock, plan.builder)
    (plan.out / PROVENANCE).write_text(told)
    lines = [f"{sha}  {name}\n" for name, sha in sorted(_sums(plan.out).items())]
    (plan.out / SUMS).write_text("".join(lines))
    if sources.changed:
        _say("the checkout differs from its commit: this is no release to publish")


def _sums(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): sha256_of(path) for path in out.rglob("*") if path.is_file()}


def _say(line: str) -> None:
    sys.stderr.write(f"release: {line}\n")
