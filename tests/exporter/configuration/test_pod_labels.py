"""Pod labels as labels of Prometheus."""

from __future__ import annotations

import pytest

from ebpf.errors import UsageError
from exporter.configuration.config import OPTIONS
from exporter.configuration.pod_labels import label_names


def test_names_are_kube_state_metrics() -> None:
    assert label_names(["app.kubernetes.io/name", "team"]) == ["label_app_kubernetes_io_name", "label_team"]


def test_two_that_become_one_are_numbered() -> None:
    assert label_names(["a-b", "a.b", "c"]) == ["label_a_b_conflict1", "label_a_b_conflict2", "label_c"]


def test_what_collides_even_then_is_refused_at_the_start_with_both() -> None:
    with pytest.raises(UsageError) as raised:
        OPTIONS["kube.podLabels"].parse(["a-b", "a.b", "a_b_conflict1"], "kube.podLabels")
    message = str(raised.value)
    assert "'a-b' and 'a_b_conflict1' would both be label_a_b_conflict1: leave one out" in message
