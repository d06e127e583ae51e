"""What LoRaWAN stacks keep in non-volatile memory, decoded."""
