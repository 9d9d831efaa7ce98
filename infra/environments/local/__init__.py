"""The embedded local control plane: a real Kubernetes API on this machine, with simulated nodes."""
