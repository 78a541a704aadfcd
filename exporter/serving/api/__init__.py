"""The last hour in memory, and /api/v1."""
