"""Trained power models as data: one JSON file and one model card each; no code."""
