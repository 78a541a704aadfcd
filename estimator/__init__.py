"""From counters and meters to joules per cgroup."""
