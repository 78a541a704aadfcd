"""What each cgroup used, how idle is split off, who shares in the rest, which zones are the node's.

Imports the features and what passes between rooms (energy); numpy alone.
"""
