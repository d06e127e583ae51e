"""Identity stores `flash` and `eeprom`: identity block v1 in a page of its own that the probe reads like any memory."""

from collections.abc import Sequence

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BLOCK_SIZE, BlockState
from lorafab.domain.image import Image
from lorafab.domain.memory_map import MemoryMap, Segment, Span
from lorafab.domain.provisioning import Evidence, Found, Held, Stage
from lorafab.errors import ForeignIdentity, MemoryFault, ReadProtected
from lorafab.interfaces import Programmer
from lorafab.steps.memory import read_torn


def found_in(data: bytes, erased: int) -> Found:
    """Decode the bytes of an identity block."""
    block = identity_block.decode(data)
    if block is None:
        return Found(identity_block.state(data, erased))
    keys = (block.app_key,) if block.nwk_key is None else (block.app_key, block.nwk_key)
    return Found(BlockState.VALID, Held.of_block(block), keys)


def whole(found: Found, what: str) -> Held:
    """What a block says that must be there. Raises ForeignIdentity."""
    if found.held is None:
        raise ForeignIdentity(
            f"{what} reads {found.state}, wanted a whole block; repeat once, then set the board aside"
        )
    return found.held


class PageStore:
    """Implements IdentityStore."""

    stage: Stage = "image"

    def __init__(self, programmer: Programmer, memory: MemoryMap) -> None:
        assert memory.identity is not None  # product.yaml cannot be read without
        area = memory.area_of(memory.identity)
        assert area is not None
        self._programmer, self._memory, self._area = programmer, memory, area
        self._span = Span(memory.identity.start, BLOCK_SIZE)

    def factory_eui(self) -> Eui64 | None:
        """A page comes empty."""
        return None

    def look(self) -> Found:
        """Read the page. A torn word makes the block damaged, not the board. Raises ReadProtected."""
        reading = read_torn(self._programmer, self._span, self._area.word_size)
        if reading.torn:
            if sum(word.size for word in reading.torn) == BLOCK_SIZE:
                self._refuse_protected()
            return Found(BlockState.DAMAGED)
        return found_in(reading.data, self._area.erased)

    def _refuse_protected(self) -> None:
        """A cut erase spoils one page; where the beginning of the flash cannot be read either, all of it is hidden."""
        flash = self._memory.flash
        try:
            self._programmer.read(Span(flash.start, flash.word_size))
        except MemoryFault:
            raise ReadProtected(
                "the chip's flash cannot be read, as when its read-out protection is on, wanted an open chip; "
                "set the board aside: opening it erases everything on it"
            ) from None

    def in_image(self, image: Image, identity: Identity | None) -> Sequence[Segment]:
        """The image, and the block of a new identity."""
        if identity is None:
            return image.segments
        return (*image.segments, Segment(self._span.start, identity_block.encode(identity)))

    def write(self, identity: Identity) -> None:
        """Done with the image."""

    def read_back(self) -> tuple[Held, Evidence]:
        """Decode the block on the board, not the bytes that were sent."""
        return whole(self.look(), "the identity page"), "read back"
