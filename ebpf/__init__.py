"""What the kernel counts, per cgroup: eBPF programs, their loaders and the types of what they count."""
