"""The pods of this node as Kubernetes tells them."""
