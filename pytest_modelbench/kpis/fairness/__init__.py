"""Whether groups are treated differently."""
