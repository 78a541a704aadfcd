"""A model that is chosen anew once somebody tells the machine's instance type."""

from __future__ import annotations

import logging
from collections.abc import Callable

from estimator.model.choice import ModelChoice
from estimator.model.power_model import PowerModel

log = logging.getLogger("exporter.power")


class AwaitedType:
    """The model in force. choose: the model for an instance type.

    `tell` may be called by any thread; what it told is taken over in the next tick.
    """

    def __init__(self, model: PowerModel, reason: str, choose: Callable[[str], ModelChoice]) -> None:
        self.model = model
        self._reason, self._choose = reason, choose
        self._told = ""

    def tell(self, instance_type: str) -> None:
        """What the machine is."""
        self._told = instance_type

    def check(self) -> bool:
        """True where another model is in force from now on."""
        told, self._told = self._told, ""
        choice = self._choose(told) if told else None
        if choice is None or choice.model is None or choice.reason == self._reason:
            return False
        self.model, self._reason = choice.model, choice.reason
        log.info("energy is estimated, the node's instance type being %s: %s", told, choice.reason)
        return True
