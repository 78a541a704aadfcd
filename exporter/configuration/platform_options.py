"""The section of the configuration about the whole machine's power and the boards that measure it."""

# ruff: noqa: RUF009 - option() is dataclasses.field with the option beside it

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exporter.configuration.options import option
from exporter.configuration.value_types import choice, duration, optional, optional_path, path, text


@dataclass(frozen=True, slots=True)
class Ipmi:
    """The board's management controller on this machine."""

    device: Path = option(
        "platform.ipmi.device", path(), Path("/dev/ipmi0"), "The kernel's IPMI device, asked by DCMI"
    )
    period_seconds: float = option(
        "platform.ipmi.period", duration(minimum=1.0), 5.0, "Time between two readings over IPMI"
    )


@dataclass(frozen=True, slots=True)
class Redfish:
    """The board's management controller over the network."""

    config_file: Path | None = option(
        "platform.redfish.configFile",
        optional_path(),
        None,
        "Kepler's file of nodes and BMCs: which BMC this node has, its address, user and password; read anew"
        " where it changes",
        flag="--platform.redfish.config-file",
        default_description="no BMC is asked",
    )
    node_name: str | None = option(
        "platform.redfish.nodeName",
        optional(text("a node's name in that file")),
        None,
        "This node's name in the file",
        default_description="kube.nodeName",
    )
    period_seconds: float = option(
        "platform.redfish.period",
        duration(minimum=1.0),
        10.0,
        "Time between two readings over Redfish; longer, up to a minute, where the BMC has nothing newer",
    )


@dataclass(frozen=True, slots=True)
class Platform:
    """What the whole machine draws, and who is given what no other meter explains."""

    rest_policy: str = option(
        "platform.restPolicy",
        choice("none", "proportional", "even"),
        "none",
        "Who is given what a measured platform draws beyond packages, dram and gpu: nobody, all in proportion"
        " to what they drew there, or every container alike",
    )
    ipmi: Ipmi = field(default_factory=Ipmi)
    redfish: Redfish = field(default_factory=Redfish)
