"""Metric families, a tick's series, and their text."""
