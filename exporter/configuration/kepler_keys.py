"""Kepler's keys that podjoule has not, and what they are here: for those who bring Kepler's file."""

from __future__ import annotations

# Source: config/config.go of Kepler 0.11. A key stands for all below it that have no line of their own.
KEPLER_KEYS = {
    "monitor.staleness": "no scrape measures here: leave it out",
    "monitor.maxTerminated": "see monitor.terminatedTTL, for how long all that ended stay",
    "monitor.minTerminatedEnergyThreshold": "see monitor.terminatedTTL, for how long all that ended stay",
    "exporter.stdout": "podjoule snapshot prints once",
    "exporter.prometheus.enabled": "it is always on: leave it out",
    "exporter.prometheus.debugCollectors": "process_* is always exported: leave it out",
    "debug": "there is no profiling by HTTP: leave it out",
    "dev": "there is no fake meter: leave it out",
    "kube.podInformer.mode": "it is kube.mode",
    "kube.podInformer.pollInterval": "the kubelet is asked every 30 s, and at once for an unknown pod:"
    " leave it out",
    "cpu": "the meters that are there are found without it: leave it out",
    "experimental.hwmon.enabled": "see meters.preferred, which names the meters that may be used",
    "experimental.platform.redfish.enabled": "it is asked where platform.redfish.configFile names a file:"
    " leave it out",
    "experimental.platform.redfish.httpTimeout": "a BMC has 20 s to answer, and no tick waits: leave it out",
    "experimental.gpu": "see meters.preferred and gpu.idleWatts",
}

# Those that mean the same here, in the same form.
KEPLER_ALIASES = {
    "experimental.hwmon.zones": "hwmon.zones",
    "experimental.hwmon.chipRules": "hwmon.chipRules",
    "experimental.platform.redfish.nodeName": "platform.redfish.nodeName",
    "experimental.platform.redfish.configFile": "platform.redfish.configFile",
}
