"""Options, where their values come from, and the types that read them."""
