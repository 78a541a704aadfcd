"""Makes the shipped models of whole machines from published measurements."""
