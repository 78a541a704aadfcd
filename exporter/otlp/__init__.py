"""What the page shows, pushed over OTLP with OpenTelemetry's own SDK.

It imports what lies below exporter.serving, beside which it stands. The SDK is imported by `mapping` and
`sending` alone, and those where there is an endpoint.
"""
