"""The whole line, once: a real Kubernetes, the operator by Helm, one manifest, one answer."""
