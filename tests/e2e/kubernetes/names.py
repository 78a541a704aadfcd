"""Series that should not be: without a name, under a wrong one, or twice."""

from __future__ import annotations

from tests.e2e.kubernetes.discovery import DiscoveringPrometheus
from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.truth import Truth

_POD, _CONTAINER = "kepler_pod_cpu_joules_total", "kepler_container_cpu_joules_total"
_EVER = "15m"


def wrong_names(prometheus: DiscoveringPrometheus, truth: Truth, release: Release) -> list[str]:
    """What is wrong with any series that a release has ever shown of a pod that the cluster knows, in words.

    Whoever else makes cgroups like a kubelet's on this machine meanwhile is left out.
    """
    selector = f'{{release="{release.name}", zone="package", pod_id!=""}}'
    pods = prometheus.query(f"last_over_time({_POD}{selector}[{_EVER}])")
    found = [_wrong_pod(labels, truth) for labels, _ in pods]
    containers = prometheus.query(f"last_over_time({_CONTAINER}{selector}[{_EVER}])")
    found += [_wrong_container(labels, truth) for labels, _ in containers]
    twice = prometheus.query(f'count by (pod_id, zone) ({_POD}{{release="{release.name}"}}) > 1')
    found += [f"{labels['pod_id']} has {count:g} series a zone" for labels, count in twice]
    return [each for each in found if each]


def _wrong_pod(labels: dict[str, str], truth: Truth) -> str:
    pod = truth.pods.get(labels["pod_id"])
    told = (labels.get("pod_namespace", ""), labels.get("pod_name", ""))
    if pod is None or told == (pod.namespace, pod.name):
        return ""
    return f"{pod.namespace}/{pod.name} is shown as {told}"


def _wrong_container(labels: dict[str, str], truth: Truth) -> str:
    """A sandbox has no name; everything else in a pod has."""
    container_id, told = labels["container_id"], labels.get("container_name", "")
    pod = truth.pods.get(labels["pod_id"])
    if pod is None or container_id in truth.sandboxes:
        return ""
    name = pod.containers.get(container_id)
    return "" if told and told == name else f"{pod.name}: {container_id} ({name}) is shown as {told!r}"
