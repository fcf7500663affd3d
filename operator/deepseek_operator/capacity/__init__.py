"""What the cluster has: inventory from plain objects, and what fits on it. Does no I/O."""
