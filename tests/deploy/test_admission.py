"""What the API server says of the chart: every file of values through its own validation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import NAMESPACE, VALUES, Document, render
from tests.e2e.cluster.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes]

OPERATOR = "monitoring.coreos.com"
FOREIGN = [
    (OPERATOR, "ServiceMonitor", "servicemonitors", "Namespaced"),
    (OPERATOR, "PodMonitor", "podmonitors", "Namespaced"),
    (OPERATOR, "PrometheusRule", "prometheusrules", "Namespaced"),
    (f"az{OPERATOR}", "ServiceMonitor", "servicemonitors", "Namespaced"),
    (f"az{OPERATOR}", "PodMonitor", "podmonitors", "Namespaced"),
    ("monitoring.googleapis.com", "PodMonitoring", "podmonitorings", "Namespaced"),
    ("security.openshift.io", "SecurityContextConstraints", "securitycontextconstraints", "Cluster"),
]


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[Cluster]:
    """With the namespaces that the values name, and kinds of others that take anything."""
    wanted = [_namespace(NAMESPACE), _namespace("monitoring")]
    wanted += [_definition(*each) for each in FOREIGN]
    there = cluster.kubectl("get", "namespaces,customresourcedefinitions", "-o", "name")
    missing = [each for each in wanted if f"/{each['metadata']['name']}\n" not in there]
    text = yaml.safe_dump_all(missing)
    if missing:
        cluster.kubectl("apply", "-f", "-", stdin=text)
    for group, _, plural, _ in FOREIGN:
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}")
    for namespace in (NAMESPACE, "monitoring"):  # in which a pod may be once a controller has made this
        told = ("wait", "--for=create", "--timeout=60s", "serviceaccount/default")
        cluster.kubectl(*told, "--namespace", namespace)
    yield cluster
    if missing:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_takes_it(namespaces: Cluster, values: Path) -> None:
    told = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    answer = namespaces.kubectl(*told, stdin=render(values).text)
    assert len(answer.splitlines()) == len(render(values).objects)
    assert "warning" not in answer.lower()


def _namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _definition(group: str, kind: str, plural: str, scope: str) -> Document:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
