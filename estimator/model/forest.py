"""Regression trees as flat arrays: what boosting learned, evaluated in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from estimator.model.document import Field

IntArray = npt.NDArray[np.intp]

MOST_NODES = 20_000
_MOST_TREES = 2_000
_MOST_DEPTH = 64
_MOST_VALUE = 1e9
_MOST_THRESHOLD = 1e18
_LEAF = -1


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The sum of many trees and a baseline.

    roots: shape (n_trees,), the first node of each. The others: shape (n_nodes,). A leaf is its own child, so
    that a walk of `depth` steps ends at a leaf in every tree. baseline, value: watts per CPU.
    """

    baseline: float
    roots: IntArray
    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray
    depth: int

    def predict(self, rows: FloatArray) -> FloatArray:
        """The sum over the trees for rows of shape (n, n_features); shape (n,).

        A row goes left where its feature is at most the threshold, as scikit-learn has it.
        """
        at = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        row = np.arange(len(rows))[:, np.newaxis]
        for _ in range(self.depth):
            goes_left = rows[row, self.feature[at]] <= self.threshold[at]
            at = np.where(goes_left, self.left[at], self.right[at])
        return np.asarray(self.baseline + self.value[at].sum(axis=1), dtype=np.float64)


def read_forest(trees: Field, n_features: int) -> Forest:
    """The forest of a model file, or ModelInvalid naming the field.

    Every node but the roots must be the child of exactly one node of a lower number: walks end.
    """
    roots = _integers(trees["root"], _MOST_TREES)
    feature = _integers(trees["feature"], MOST_NODES)
    n_nodes = len(feature)
    left, right = (_integers(trees[name], MOST_NODES) for name in ("left", "right"))
    threshold = trees["threshold"].array(MOST_NODES, least=-_MOST_THRESHOLD, most=_MOST_THRESHOLD)
    value = trees["value"].array(MOST_NODES, least=-_MOST_VALUE, most=_MOST_VALUE)
    for name, of in (("left", left), ("right", right), ("threshold", threshold), ("value", value)):
        if len(of) != n_nodes:
            trees[name].refuse(f"{n_nodes} numbers, as many as feature")
    if ((feature < _LEAF) | (feature >= n_features)).any():
        trees["feature"].refuse(f"whole numbers from {_LEAF} (a leaf) to {n_features - 1}")
    itself, is_leaf = np.arange(n_nodes), feature == _LEAF
    for name, child in (("left", left), ("right", right)):
        if (child[is_leaf] != _LEAF).any() or (child <= itself)[~is_leaf].any() or (child >= n_nodes).any():
            trees[name].refuse(f"for a leaf {_LEAF}, else a node that comes later")
    depth = _depth(trees, roots, left, right, is_leaf)
    return Forest(
        baseline=trees["baseline_watts_per_cpu"].number(least=-_MOST_VALUE, most=_MOST_VALUE),
        roots=roots,
        feature=np.where(is_leaf, 0, feature),
        threshold=threshold,
        left=np.where(is_leaf, itself, left),
        right=np.where(is_leaf, itself, right),
        value=value,
        depth=depth,
    )


def _integers(field: Field, most_items: int) -> IntArray:
    numbers = field.array(most_items, least=_LEAF, most=MOST_NODES)
    if (numbers != np.floor(numbers)).any():
        field.refuse("whole numbers")
    return numbers.astype(np.intp)


def _depth(
    trees: Field, roots: IntArray, left: IntArray, right: IntArray, is_leaf: npt.NDArray[np.bool_]
) -> int:
    """The longest walk from a root; refused unless the walks reach every node once."""
    n_nodes = len(left)
    if not len(roots) or not n_nodes or (roots < 0).any() or (roots >= n_nodes).any():
        trees["root"].refuse("at least one node")
    inner = ~is_leaf
    reached = np.bincount(np.concatenate([roots, left[inner], right[inner]]), minlength=n_nodes)
    if (reached != 1).any():
        trees["root"].refuse(
            f"trees in which every node is reached once, not node {int(np.argmax(reached != 1))}"
        )
    at, depth = roots[inner[roots]], 0
    while len(at):
        depth += 1
        if depth > _MOST_DEPTH:
            trees["left"].refuse(f"trees at most {_MOST_DEPTH} deep")
        below = np.concatenate([left[at], right[at]])
        at = below[inner[below]]
    return depth
