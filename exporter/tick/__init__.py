"""One tick, its parts, when it happens, and how it is put together."""
