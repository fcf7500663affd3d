"""The custom resource: its types, conditions, schema and the way from spec to plan request. Does no I/O."""
