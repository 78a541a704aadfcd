"""From joules per cgroup to what people and Prometheus read."""
