"""Instructions that the emulator carries out silently, or cannot stop at: found when it translates them, and hooked.

A hook costs every instruction a little while it exists, so only those that matter just then get one.
"""

import re
from collections.abc import Callable
from typing import Any

from unicorn.unicorn_const import UC_HOOK_CODE, UC_HOOK_EDGE_GENERATED

from lorafab.virtual import thumb
from lorafab.virtual.engine import GENERAL, Engine
from lorafab.virtual.stops import COUNT, EARLY, REPEATED, Stop, Why
from lorafab.virtual.thumb import Kind

# an odd byte as hints, IT, divisions and floating point have it
_SUSPECT = re.compile(rb"(?s)(?:..)*?.[\xbf\xec-\xef\xf3\xfb-\xff]")
_NO_HINT = (-1, COUNT)
# unicorn ends the run behind these, at WFI without a word, at the others with the error of an undefined instruction
_HINTS = {Kind.WFI: Stop(Why.WFI), Kind.WFE: Stop(Why.WFE), Kind.YIELD: EARLY}
_LONGEST_BLOCK = 18  # bytes of an IT instruction and what it covers


class Sites:
    """The hooked instructions. ``leave`` ends a run; ``stops_at`` says that one shall end before an address."""

    def __init__(
        self, engine: Engine, has_it: bool, leave: Callable[[Stop], None], stops_at: Callable[[int], bool]
    ) -> None:
        self._engine, self.has_it, self._leave, self._stops_at = engine, has_it, leave, stops_at
        self._hooks: dict[int, int] = {}
        self._found: list[int] = []
        self.hint: tuple[int, Stop] = _NO_HINT  # the hint that was executed last: where it ends, what it means
        self.event = False
        self.stepping = False  # an IT block is gone through by hand already
        self.by_hand = False  # every IT block has to be
        self.float_off = self.trap_divide = False
        engine.hook(UC_HOOK_EDGE_GENERATED, self._on_block)

    def __contains__(self, address: int) -> bool:
        return address in self._hooks

    def begin(self) -> None:
        """A run begins."""
        self.hint = _NO_HINT

    def forget(self, start: int, end: int) -> None:
        """The code of a span will be translated anew."""
        for address in [address for address in self._hooks if start <= address < end]:
            self._engine.uc.hook_del(self._hooks.pop(address))

    def hook_found(self) -> bool:
        """Hook what was found in the run that just ended; False when there was nothing, and the run is over."""
        found, self._found = self._found, []
        for address in found:
            if address not in self._hooks:
                self._hooks[address] = self._engine.hook(UC_HOOK_CODE, self._on_site, address, address)
                self._engine.uc.ctl_remove_cache(address, address + 2)
        return bool(found)

    def trapped(self, code: bytes) -> Why | None:
        """Why the instruction at the beginning of ``code`` must not be executed, or None."""
        kind = thumb.kind(code)
        if kind is Kind.FLOAT and self.float_off:
            return Why.NO_COPROCESSOR
        if kind is Kind.DIVIDE and self.trap_divide and not self._engine.get(GENERAL[thumb.divisor(code)]):
            return Why.DIVIDE_BY_ZERO
        return None

    # hooks: what unicorn calls

    def _on_block(self, _uc: object, block: Any, _before: object, _data: object) -> None:
        """Unicorn translated something: have a look before it is executed."""
        code = self._engine.code(block.pc, block.size + _LONGEST_BLOCK)
        if _SUSPECT.match(code[: block.size]) is None:
            return
        found = [
            block.pc + at
            for at, kind in thumb.instructions(code[: block.size])
            if kind is not Kind.PLAIN and self._matters(kind, block.pc + at, code[at:])
        ]
        self._found += [address for address in found if address not in self._hooks]
        if self._found:
            self._engine.uc.emu_stop()

    def _matters(self, kind: Kind, address: int, code: bytes) -> bool:
        if kind is Kind.IT:
            return not self.has_it or self.by_hand or self._stops_inside(address, code)
        return kind in _HINTS or kind is Kind.SEV or self._may_trap(kind)

    def _may_trap(self, kind: Kind) -> bool:
        return (kind is Kind.FLOAT and self.float_off) or (kind is Kind.DIVIDE and self.trap_divide)

    def _stops_inside(self, address: int, code: bytes) -> bool:
        """An IT block that the processor may have to stop in (other than at a memory access)."""
        for number, (at, kind) in enumerate(thumb.instructions(code)):
            if number > thumb.it_length(code):
                break
            if number and (self._may_trap(kind) or self._stops_at(address + at)):
                return True
        return False

    def _on_site(self, _uc: object, address: int, size: int, _data: object) -> None:
        code = self._engine.code(address, 4)
        kind = thumb.kind(code)
        if kind in _HINTS:
            self.hint = (address + size, _HINTS[kind])
        elif kind is Kind.SEV:
            self.event = True
        elif kind is not Kind.IT:
            trapped = self.trapped(code)
            if trapped is not None:
                self._leave(Stop(trapped, address))
        elif not self.has_it:
            self._leave(Stop(Why.UNDEFINED, address, "there are no IT blocks in Armv6-M"))
        elif not self.stepping:
            self._leave(REPEATED)
