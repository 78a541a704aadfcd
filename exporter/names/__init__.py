"""From a cgroup's path to the workload that people know, and to its name."""
