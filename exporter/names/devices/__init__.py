"""Which pod holds which device, as the kubelet tells it. Imports the names of pods, and h2."""
