"""A cluster's months, from counters in a Prometheus to rows that add up, and pages of them.

Nothing of `podjoule run` imports it. It may import what lies below it: the exporter's families, the one HTTP
client, configuration and the estimator's tables of machines. Its libraries (the extras `report` and
`report-spark`) are imported where they are used.
"""
