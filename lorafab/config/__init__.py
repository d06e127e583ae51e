"""YAML files become frozen, strict values once, before any hardware is touched."""
