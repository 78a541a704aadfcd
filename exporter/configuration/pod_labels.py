"""The names under which pod labels are exported."""

from __future__ import annotations

import re
from collections.abc import Sequence


def label_names(pod_labels: Sequence[str]) -> list[str]:
    """Pod labels as Prometheus can hold them, in kube-state-metrics' way: label_app_kubernetes_io_name.

    Two that become the same name get _conflict1, _conflict2, ... each. Raises ValueError, naming both, where
    that makes the name of another label.
    """
    plain = ["label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name) for name in pod_labels]
    seen: dict[str, int] = {}
    label_of: dict[str, str] = {}
    for label, name in zip(pod_labels, plain, strict=True):
        seen[name] = seen.get(name, 0) + 1
        unique = f"{name}_conflict{seen[name]}" if plain.count(name) > 1 else name
        if unique in label_of:
            raise ValueError(f"{label_of[unique]!r} and {label!r} would both be {unique}: leave one out")
        label_of[unique] = label
    return list(label_of)
