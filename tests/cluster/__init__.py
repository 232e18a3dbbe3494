"""A throw-away Kubernetes for tests and the demo (see docs/cluster.md)."""
