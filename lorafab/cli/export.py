"""``lorafab export``: what the customer's network needs, for boards that passed."""

from typing import Any


def add(nouns: Any) -> None:
    """Declare the command."""
