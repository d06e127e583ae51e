"""What pyOCD loads: registers lorafab's targets and the probe of the virtual board.

pyOCD imports this module while it is itself half imported, so nothing but its Plugin class may be imported here;
all the rest waits for ``load()``.
"""

from pyocd.core.plugin import Plugin


class LorafabProbePlugin(Plugin):
    """Entry point of the group ``pyocd.probe`` (pyproject.toml)."""

    @property
    def name(self) -> str:
        """Prefix of our probe ids: ``--probe lorafab:jig0``."""
        return "lorafab"

    @property
    def description(self) -> str:
        """Shown by ``pyocd list --plugins``."""
        return "Virtual boards of lorafab"

    def load(self) -> type:
        """Return the probe class; registers the targets that pyOCD lacks on the way.

        pyOCD has no plugin group for targets. Being loaded whenever pyOCD is, this is the place where its command
        line learns of them, on stations with real probes as well.
        """
        from pyocd.target import TARGET

        from lorafab.targets.stm32l072 import STM32L072XZ
        from lorafab.targets.stm32wle5 import STM32WLE5JC
        from lorafab.virtual.probe import VirtualProbe

        TARGET.setdefault("stm32wle5jc", STM32WLE5JC)
        TARGET.setdefault("stm32l072xz", STM32L072XZ)
        return VirtualProbe
