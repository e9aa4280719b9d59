"""The Kubernetes driver: units as objects of one cluster, applied by server-side apply, known by their marks."""
