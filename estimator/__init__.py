"""From counters and meters to joules per cgroup; imports of ours only the data types of ebpf."""
