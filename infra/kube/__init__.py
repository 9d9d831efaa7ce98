"""What all workloads share: identity, hardening, network edges, config hashing."""
