"""What a tick found, written down as tables and read back."""
