"""`podjoule models estimate`: what a machine is taken to draw that nobody meters, for people who plan."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebpf.errors import UsageError
from exporter.configuration.config import Config

if TYPE_CHECKING:
    from estimator.machine.description import MachineDescription
    from estimator.model.estimate import Estimate
    from estimator.model.plan import Plan
    from estimator.model.power_model import PowerModel


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of this command alone."""
    parser.add_argument("--cpu", metavar="NAME", help="the CPU's name, as /proc/cpuinfo or its maker has it")
    parser.add_argument("--instance-type", metavar="TYPE", help="a cloud's instance type, in place of --cpu")
    parser.add_argument("--chips", type=_positive_integer, metavar="N", help="sockets of the machine")
    parser.add_argument(
        "--memory-gb", type=_positive, metavar="N", help="memory of the machine, or of the guest"
    )
    parser.add_argument("--maker", default="", metavar="NAME", help="who makes the host, as DMI has it")
    parser.add_argument(
        "--guest-cpus", type=_positive_integer, metavar="N", help="a guest's vCPUs: its share"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default table")


def estimate(arguments: Namespace, config: Config) -> int:
    """Watts at eleven levels of work, with their bounds, as JSON or as a table."""
    from estimator.model.plan import plan

    machine = _machine(arguments)
    model = _load(config.model)
    try:
        found = plan(model, machine)
    except ValueError as error:
        raise UsageError(f"--model {config.model}: {error}") from error
    in_json = json.dumps(_document(model, found), indent=1) + "\n"
    sys.stdout.write(in_json if arguments.format == "json" else _table(model, found))
    return 0


def _machine(arguments: Namespace) -> MachineDescription:
    from estimator.machine.catalogue import Catalogue
    from estimator.machine.description import Size, describe_named
    from estimator.machine.names import maker_of

    catalogue = Catalogue()
    instance = catalogue.instance(arguments.instance_type) if arguments.instance_type else None
    name = arguments.cpu or (instance and instance.cpu)
    if not name:
        raise UsageError(
            f"--instance-type {arguments.instance_type}: no table says which CPU that is; give --cpu"
            if arguments.instance_type
            else "models estimate: no CPU given; give --cpu NAME, such as 'AMD EPYC 9654', or --instance-type"
        )
    is_metal = instance is not None and "metal" in arguments.instance_type
    n_guest = arguments.guest_cpus or (instance and not is_metal and instance.n_cpu) or None
    memory_gb = arguments.memory_gb or (instance.memory_gb if instance else None)
    size = Size(
        n_cpu=n_guest or 1, memory_gb=memory_gb, chips=arguments.chips, maker=maker_of(arguments.maker)
    )
    return describe_named(name, size, catalogue, is_guest=bool(n_guest))


def _load(option: str) -> PowerModel:
    from estimator.model.choice import BY_SPECIFICATION
    from estimator.model.file import load_model, load_shipped

    return load_shipped(BY_SPECIFICATION) if option in ("auto", "none") else load_model(Path(option))


def _document(model: PowerModel, found: Plan) -> dict[str, Any]:
    of = found.machine.specification
    return {
        "model": model.name,
        "sha256": model.sha256,
        "family": of.family,
        "known": found.machine.knowledge,
        "found": found.machine.found,
        "machine": {
            "cpu": of.cpu or None,
            "n_cpu": found.machine.n_cpu,
            "is_guest": found.machine.is_guest,
            "chips": of.chips,
            "cores_per_chip": of.cores_per_chip,
            "threads_per_core": of.threads_per_core,
            "mhz": of.mhz,
            "tdp_watts": of.tdp_watts,
            "memory_gb_per_chip": of.memory_gb_per_chip,
        },
        "levels": _levels(found.by_throughput),
        "cpu_time_levels": _levels(found.by_cpu_time),
    }


def _levels(by_level: dict[int, Estimate]) -> dict[str, dict[str, float]]:
    return {
        str(level): {"watts": round(of.joules, 3), "low": round(of.low, 3), "high": round(of.high, 3)}
        for level, of in by_level.items()
    }


def _table(model: PowerModel, found: Plan) -> str:
    of = found.machine.specification
    what = f"{found.machine.n_cpu} CPUs of {of.family or 'an unknown family'}, {found.machine.found}"
    lines = [f"{what}; model {model.name}", "work done   watts     low    high"]
    lines += [
        f"{level:8d} % {of.joules:7.1f} {of.low:7.1f} {of.high:7.1f}"
        for level, of in found.by_throughput.items()
    ]
    return "\n".join(lines) + "\n"


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ArgumentTypeError(f"found {text!r}; allowed: a number above 0")
    return value


def _positive_integer(text: str) -> int:
    value = _positive(text)
    if value != int(value):
        raise ArgumentTypeError(f"found {text!r}; allowed: a whole number above 0")
    return int(value)
