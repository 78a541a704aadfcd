"""Opening the meters of a board: IPMI on this machine, Redfish over the network."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from estimator.errors import MeterAbsent
from estimator.machine.identity import CpuIdentity
from estimator.meters.boards import BoardMeter
from estimator.meters.port import PowerMeter
from exporter.configuration.config import Config

log = logging.getLogger("exporter.power")

# A BMC that answers does so in 10 ms on its own machine, and within seconds over the network.
_IPMI_DEADLINE_SECONDS, _REDFISH_DEADLINE_SECONDS = 2.0, 10.0


def open_ipmi(config: Config, identity: CpuIdentity) -> Sequence[PowerMeter]:  # noqa: ARG001  the registry's
    """DCMI through the kernel's device. Raises MeterAbsent where there is none, MeterUnavailable."""
    ipmi = config.platform.ipmi
    if not ipmi.device.exists():
        raise MeterAbsent(f"{ipmi.device} is not there")
    from estimator.meters.ipmi import IpmiMeter, open_device

    device = open_device(ipmi.device)
    log.info("the board is asked for its power: DCMI through %s", ipmi.device)
    return [
        BoardMeter(
            "ipmi",
            lambda boards: IpmiMeter(device, ipmi.period_seconds, boards),
            ipmi.period_seconds,
            _IPMI_DEADLINE_SECONDS,
        )
    ]


def open_redfish(config: Config, identity: CpuIdentity) -> Sequence[PowerMeter]:  # noqa: ARG001
    """The BMC that a file names. Raises MeterAbsent without a file, MeterUnavailable for a bad one."""
    redfish = config.platform.redfish
    if redfish.config_file is None:
        raise MeterAbsent("platform.redfish.configFile names no file")
    from exporter.bmc.meter import RedfishMeter
    from exporter.bmc.nodes_file import read_bmc

    file, node = redfish.config_file, redfish.node_name or config.kube.node_name
    bmc = read_bmc(file, node)
    log.info("the board is asked for its power: Redfish of bmcs.%s at %s", bmc.id, bmc.endpoint)
    if not bmc.verify:
        log.warning("the certificate of bmcs.%s is not verified: whoever answers there is believed", bmc.id)
    return [
        BoardMeter(
            "redfish",
            lambda boards: RedfishMeter(file, node, redfish.period_seconds, boards),
            redfish.period_seconds,
            _REDFISH_DEADLINE_SECONDS,
        )
    ]
