"""What energy emits and costs, as families."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.books.ledger import Balances
from exporter.books.node_totals import NodeCharges
from exporter.metrics import tariff_families as f
from exporter.metrics.exposition import Family, Labels
from exporter.metrics.specs import Spec
from exporter.tariffs.intensity import GridIntensity
from exporter.tariffs.tariffs import Price, Tariffs


class CarbonFamilies:
    """Families of grams where there is an intensity, and of cost where there is a price."""

    def __init__(self, tariffs: Tariffs, node_name: str) -> None:
        self._tariffs = tariffs
        self._node = node_name
        self._priced: dict[str, tuple[Sequence[Labels], list[Labels]]] = {}

    def of_workloads(
        self, grams: Spec, cost: Spec, labels: Sequence[Labels], balances: Balances
    ) -> list[Family]:
        """Of the rows of one kind. labels: theirs, the same object for as long as the rows stay."""
        families = []
        if self._tariffs.intensity is not None:
            families.append(grams.family(labels, balances.grams, balances.since_seconds))
        if self._tariffs.price is not None:
            priced = self._with_currency(cost, labels, self._tariffs.price)
            families.append(cost.family(priced, balances.cost, balances.since_seconds))
        return families

    def of_node(self, charges: NodeCharges) -> list[Family]:
        """The node's whole, and the parts of it that are no workload's."""
        reasons = list(charges.unattributed)
        families: list[Family] = []
        for column, currency, specs in self._charged():
            whole, idle, unattributed = specs
            families += [
                whole.family([(self._node, *currency)], [float(charges.total[column])]),
                idle.family([(self._node, *currency)], [float(charges.idle[column])]),
                unattributed.family(
                    [(self._node, reason, *currency) for reason in reasons],
                    [float(charges.unattributed[reason][column]) for reason in reasons],
                ),
            ]
        return families

    def of_grid(self) -> list[Family]:
        """The zones that count, and what the grid's electricity emits and costs now."""
        intensity, price = self._tariffs.intensity, self._tariffs.price
        zones = self._tariffs.zones
        families = [f.ENERGY_ZONE_INFO.family([(self._node, zone) for zone in zones], [1.0] * len(zones))]
        if intensity is not None:
            families += self._of_intensity(intensity)
        if price is not None:
            labels = [(self._node, price.currency)]
            families.append(f.GRID_PRICE.family(labels, [price.curve.mean(0.0)]))
        if intensity is not None or price is not None:
            families.append(f.GRID_PUE.family([(self._node,)], [self._tariffs.pue]))
        return families

    def _of_intensity(self, intensity: GridIntensity) -> list[Family]:
        now, status = intensity.now(), intensity.status()
        labels = [(self._node, now.zone, now.provider)]
        families = [f.GRID_INTENSITY.family(labels, [now.grams_per_kwh])]
        if status is not None:
            errors = [(self._node, status.provider, reason) for reason in status.errors]
            families += [
                f.GRID_AGE.family([(self._node,)], [status.age_seconds]),
                f.GRID_ERRORS.family(errors, [float(n) for n in status.errors.values()]),
            ]
        return families

    def _charged(self) -> list[tuple[int, Labels, tuple[Spec, Spec, Spec]]]:
        """The column of what is charged, the currency as a label, and the node's families."""
        charged: list[tuple[int, Labels, tuple[Spec, Spec, Spec]]] = []
        if self._tariffs.intensity is not None:
            charged.append((0, (), (f.NODE_GRAMS, f.NODE_IDLE_GRAMS, f.NODE_UNATTRIBUTED_GRAMS)))
        if (price := self._tariffs.price) is not None:
            charged.append((1, (price.currency,), (f.NODE_COST, f.NODE_IDLE_COST, f.NODE_UNATTRIBUTED_COST)))
        return charged

    def _with_currency(self, cost: Spec, labels: Sequence[Labels], price: Price) -> list[Labels]:
        kept = self._priced.get(cost.name)
        if kept is None or kept[0] is not labels:
            kept = self._priced[cost.name] = (labels, [(*label, price.currency) for label in labels])
        return kept[1]
