"""What one tick publishes: the metrics as rendered, and the view that the API and the page answer from."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.api.view import View
from exporter.exposition import Block
from exporter.page import RenderedPage


class TickPage(RenderedPage):
    """One immutable snapshot, so that one assignment publishes all of a tick. view: None if it failed."""

    def __init__(self, blocks: Sequence[Block], view: View | None) -> None:
        super().__init__(blocks)
        self.view = view
