"""Parts that are soldered around the chip."""
