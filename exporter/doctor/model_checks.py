"""Check of the model: which one would tell the node's energy where no meter does."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from estimator.errors import ModelInvalid, ModelUnavailable
from estimator.features import names_measured
from estimator.machine.description import describe
from estimator.machine.identity import read_identity
from estimator.machine.size import read_instance_type, read_size
from estimator.machine.topology import read_topology
from estimator.model.choice import choose_model, lacking
from estimator.model.file import load_model
from exporter.configuration.config import Config
from exporter.doctor.finding import Check, Machine


def check_model(machine: Machine, config: Config, counted: Set[str], *, has_meter: bool) -> Check:
    """counted: the counters that can be had, by their names in ebpf.counters.FIELDS."""
    option = config.model
    if option not in ("auto", "none"):
        try:
            model = load_model(Path(option))
        except (ModelInvalid, ModelUnavailable) as error:
            what, _, mend = str(error).rpartition("; ")
            return Check("model", "fail", what, mend, required=True)
        if lacks := lacking(model, names_measured(counted)):
            found = f"{option} cannot serve: {', '.join(sorted(lacks))} cannot be counted; another stands in"
            return Check("model", "warn", found, "train one from what is counted, or see pmu")
    if has_meter:
        return Check("model", "ok", "not needed: energy is measured")
    return _chosen(machine, config, counted)


def _chosen(machine: Machine, config: Config, counted: Set[str]) -> Check:
    identity = read_identity(machine.procfs)
    try:
        size = read_size(machine.sysfs, machine.procfs, identity, read_topology(machine.sysfs))
    except (OSError, ValueError) as error:
        return Check("model", "warn", f"{machine.sysfs} does not tell the CPUs: {error}", "mount sysfs there")
    here = describe(identity, size, config.machine.instance_type or read_instance_type(machine.sysfs))
    choice = choose_model(config.model, identity, names_measured(counted), here)
    if choice.model is None:
        return Check(
            "model", "warn", f"energy is not exported: {choice.reason}", "give --model auto, or a file"
        )
    return Check("model", "ok", choice.reason.removeprefix("model "))
