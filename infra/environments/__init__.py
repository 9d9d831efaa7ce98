"""Ways to see the platform: without an engine, on an embedded control plane, on a cluster."""
