"""Manifests: one pure builder per object kind. Does no I/O."""
