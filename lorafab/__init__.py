"""lorafab: the production line for LoRaWAN end nodes that runs inside pytest."""

__version__ = "0.1.0"
