"""HTTP itself: tornado's streams and connections, held to limits, and how a request becomes a call."""
