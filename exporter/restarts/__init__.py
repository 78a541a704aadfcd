"""What outlives the process: the books and the learned weights, kept in a state file."""
