// Twins and generators used by several test targets.
