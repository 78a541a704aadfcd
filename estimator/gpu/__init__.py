"""GPUs: what they are, what they draw, who keeps them busy; and from these, whose energy it is."""
