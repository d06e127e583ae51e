"""The board's supply and an ammeter in it: who draws how much, integrated over simulated time.

Currents in nA, charge in nA times ns (1e-18 C). Figures are typical ones of data sheets, good for telling run, sleep
and stop apart and for finding a part that was left on; they are not measurements.
"""

from lorafab.virtual.clock import Clock


class Supply:
    """Adds up what each consumer draws."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._draws: dict[str, int] = {}
        self._charge = 0
        self._since_ns = clock.now_ns

    def draw(self, who: str, nanoamps: int) -> None:
        """From now on ``who`` draws so much (0: nothing)."""
        if self._draws.get(who, 0) != nanoamps:
            self._settle()
            self._draws[who] = nanoamps

    def off(self) -> None:
        """Nobody draws anything."""
        self._settle()
        self._draws.clear()

    @property
    def nanoamps(self) -> int:
        """What flows at this moment."""
        return sum(self._draws.values())

    @property
    def draws(self) -> dict[str, int]:
        """By consumer, those that draw something."""
        return {who: nanoamps for who, nanoamps in self._draws.items() if nanoamps}

    @property
    def charge(self) -> int:
        """All that has flowed since the board was opened, in nA times ns."""
        self._settle()
        return self._charge

    def _settle(self) -> None:
        self._charge += self.nanoamps * (self._clock.now_ns - self._since_ns)
        self._since_ns = self._clock.now_ns
