"""`podjoule train`: a power model from samples tables."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimator.errors import ArgumentInvalid
from exporter.commands.declaration import CONFIGURED, Command
from exporter.commands.fleet_input import add_reduction, read_fleet
from exporter.commands.model_tables import advice_text, scores_table
from exporter.commands.samples_input import add_input, read_input, training_installed
from exporter.configuration.config import Config

if TYPE_CHECKING:
    from estimator.training.samples import Samples


def train(arguments: Namespace, config: Config) -> int:
    """Write a model file, whole or not at all, and print how good it is and what would make it better."""
    output = arguments.output
    with training_installed():
        from estimator.library.regressor import PowerModel
        from estimator.training.zone_fit import LEAST_ROWS

    samples = read_fleet(arguments) if arguments.reduce else read_input(arguments, LEAST_ROWS)
    model = PowerModel(
        arguments.zones,
        arguments.features,
        arguments.kind,
        machine=_machine(samples, arguments, config),
        name=output.stem or "model",
    ).fit_samples(samples)
    try:
        model.save(output)
    except ArgumentInvalid as error:
        raise ArgumentInvalid("output", error.reason) from error
    sys.stdout.write(scores_table(model.content_, samples.set_aside) + advice_text(model.advice_))
    return 0


def _machine(samples: Samples, arguments: Namespace, config: Config) -> dict[str, Any]:
    """This machine, if the table is its own; else nothing but what was told."""
    from estimator.model.origin import this_machine

    told = {"microarchitecture": arguments.microarchitecture, "cpu": arguments.cpu}
    is_own = set(samples.frame["node"]) == {config.kube.node_name}
    own = this_machine(config.host.procfs, config.host.sysfs) if is_own else {}
    return {**own, **{key: value for key, value in told.items() if value}}


def _add_arguments(parser: ArgumentParser) -> None:
    add_input(parser)
    add_reduction(parser)
    parser.add_argument(
        "--zones", metavar="LIST", help="such as package,dram (default all that were measured)"
    )
    parser.add_argument(
        "--features", metavar="LIST", help="such as cycles,instructions (default the counters)"
    )
    parser.add_argument("--kind", choices=("linear", "trees", "auto"), default="auto", help="default auto")
    parser.add_argument("--microarchitecture", metavar="NAME", help="of the machine, if it is not this one")
    parser.add_argument(
        "--cpu", metavar="NAME", help="the CPU's name as /proc/cpuinfo has it, if it is not this machine's"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where the model goes")


COMMAND = Command(
    "train",
    "make a power model from samples tables",
    train,
    (*CONFIGURED, "kube.nodeName", "host.procfs", "host.sysfs"),
    _add_arguments,
)
