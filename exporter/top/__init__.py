"""`podjoule top`: a live view in the terminal. Imported by that command alone, never by `podjoule run`."""
