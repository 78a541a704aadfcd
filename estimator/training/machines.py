"""A model is of one machine: what a table says of whose rows it holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from estimator.errors import ArgumentInvalid, SamplesInvalid
from estimator.training.samples import Samples, Sizes

log = logging.getLogger("estimator.training.machines")

# CPUs that are switched on and off change seldom; two machines under one name do so row by row.
_OFTEN = 0.05
# More rows than this above what the CPUs can do: it is not the clocks, it is the number of CPUs.
_MANY = 0.1
_MOST_NAMED = 8


def of_one_node(samples: Samples, node: str | None) -> Samples:
    """The rows of one node; all of them where none is named. Raises ArgumentInvalid where it has none."""
    if node is None:
        return samples
    chosen = samples.frame[samples.frame["node"] == node].reset_index(drop=True)
    if chosen.empty:
        held = ", ".join(sorted(set(samples.frame["node"]))[:_MOST_NAMED]) or "none"
        raise ArgumentInvalid("node", f"no row of {node} in {samples.source}; it holds {held}")
    return replace(samples, frame=chosen, sizes={node: samples.sizes[node]})


def require_one_machine(samples: Samples) -> None:
    """Warn of rows that may be of several machines. Raises SamplesInvalid for several sizes."""
    sizes, named = samples.sizes, _named(samples.sizes)
    for node, of in sizes.items():
        _require_one_of_a_name(samples.source, node, of)
    if len({size for of in sizes.values() for size in of.rows}) > 1 < len(sizes):
        raise SamplesInvalid(
            f"{samples.source} holds machines of different size ({named}): what a CPU draws on one is not"
            " what it draws on the other; train one model for each, of the rows of one node"
        )
    if len(sizes) > 1:
        log.warning(
            "%s holds %d machines (%s): the model is of them all, and right where they are alike;"
            " choose one node to train on it alone",
            *(samples.source, len(sizes), named),
        )
    over, n_rows = samples.set_aside.get("cpu_over_capacity", 0), len(samples)
    if over > _MANY * (n_rows + over):
        log.warning(
            "%s: %d rows of %d hold more CPU time than their CPUs have: n_cpu is too small, or two machines"
            " share a name",
            *(samples.source, over, n_rows + sum(samples.set_aside.values())),
        )


def _require_one_of_a_name(source: str, node: str, sizes: Sizes) -> None:
    if len(sizes.rows) < 2:
        return
    n_rows, named = sum(sizes.rows.values()), _named({node: sizes})
    if sizes.changes > _OFTEN * n_rows:
        raise SamplesInvalid(
            f"{source}: the number of CPUs changes {sizes.changes} times in {n_rows} rows ({named}):"
            " these are two machines under one name; give each a node of its own"
        )
    log.warning(
        "%s: the number of CPUs changed %d times (%s): the model takes each CPU to draw the same",
        *(source, sizes.changes, named),
    )


def _named(sizes: Mapping[str, Sizes]) -> str:
    """In one line, as "n1: 4 CPUs in 232 rows, n2: 32 CPUs in 12 rows"."""
    each = [f"{node}: {n} CPUs in {count} rows" for node, of in sizes.items() for n, count in of.rows.items()]
    more = len(each) - _MOST_NAMED
    return ", ".join([*each[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
