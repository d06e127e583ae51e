"""Microcontrollers: what is known of each, and the pyOCD targets and flash algorithms that pyOCD itself lacks.

``mcus`` is plain data and needs no pyOCD; ``stm32wle5``, ``stm32l072`` and ``algorithm`` are for pyOCD. Nothing in here
is virtual: the same target serves a real board on a real probe.
"""

from lorafab.domain.memory_map import Area
from lorafab.targets.mcus import MCUS, FactoryEui, McuFacts

__all__ = ["MCUS", "Area", "FactoryEui", "McuFacts"]
