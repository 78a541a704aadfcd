"""The page at /, its files, and which path answers what."""
