"""What the line does, written against the interfaces only; usable without pytest."""
