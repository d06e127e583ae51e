"""Values and rules only: no I/O, no clock, no pytest."""
