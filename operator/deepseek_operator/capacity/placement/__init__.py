"""Which pods go on which nodes: one at a time as they come, or a known set as well as it can be done."""
