"""Virtual boards: silicon, wires and faults below the real drivers. Nothing above this package knows of it."""
