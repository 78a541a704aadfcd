"""Power meters, one a file, all behind one port."""
