"""The report as one HTML file: no server, no request, readable without scripts."""

from exporter.reports.page.document import render

__all__ = ["render"]
