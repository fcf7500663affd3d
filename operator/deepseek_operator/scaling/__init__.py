"""How many replicas, decided from values. Does no I/O."""
