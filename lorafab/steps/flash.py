"""Image and identity go down in one flash session: ask, plan, program, compare; what is identical is left alone.

Checksums are computed by the chip itself. Where one differs, the span is read back to name the place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lorafab.domain import identity_block
from lorafab.domain.checksum import checksum, of_erased
from lorafab.domain.flash_plan import IDENTITY, NVM, FlashPlan, Place, joined, plan_flash, spans_to_ask, unlisted
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.memory_map import MemoryMap, Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.errors import DutError, FlashRefused, ForeignIdentity, NvmDamaged, VerifyFailed
from lorafab.interfaces import Programmer
from lorafab.steps.counters import read_counters
from lorafab.steps.memory import Reading, read_torn

PERMIT_MASS_ERASE = "mass-erase"


@dataclass(frozen=True)
class Loss:
    """What a permitted erase of the whole flash takes from the board."""

    sentences: tuple[str, ...]
    """One for each place, as far as it could be read; no key is in there."""
    dev_nonce: int | None
    """That the board had reached; None where its counters are not in the flash, or cannot be read."""


@dataclass(frozen=True)
class Written:
    """What the session did."""

    image_bytes: int
    bytes_verified: int
    """Bytes found as they should be: image, padding to whole words, and a new identity block."""
    plan: FlashPlan
    """As it was before the session."""
    lost: tuple[str, ...]
    """Sentences of what a permitted erase took."""
    retries: tuple[str, ...]
    """Why the session was repeated, one sentence each; at most one."""


def plan_board(
    programmer: Programmer, memory: MemoryMap, contents: Sequence[Segment], *, trusted: bool, clear: bool = False
) -> FlashPlan:
    """Ask the chip what it holds and plan by that; nothing is written. See `plan_flash`.

    Raises ImageError, ProbeError.
    """
    spans = spans_to_ask(memory, contents, clear=clear)
    found = dict(zip(spans, programmer.checksums(spans), strict=True))
    return plan_flash(memory, contents, found, trusted=trusted, clear=clear)


def write_board(
    programmer: Programmer,
    memory: MemoryMap,
    contents: Sequence[Segment],
    about_to_write: Callable[[], object],
    *,
    trusted: bool = False,
    clear: bool = False,
    about_to_lose: Callable[[Loss], object] = lambda _: None,
) -> Written:
    """Program the image, and the identity block where ``contents`` have a new one, and compare all of it.

    ``trusted`` and ``clear`` as in `plan_flash`. ``about_to_lose`` is called before the counter region is erased with
    all of the flash, blank or not, ``about_to_write`` before the first change of the board, if there is any. When the
    flash refuses, or holds other things than were written, its pages are erased and written once more.

    Raises ImageError; NvmDamaged or ForeignIdentity when what was to be kept has changed; FlashRefused or VerifyFailed
    when the second try fails, too, and no line should touch this board again; ProbeError.
    """
    plan = plan_board(programmer, memory, contents, trusted=trusted, clear=clear)
    kept = [(place, _unreadable(programmer, memory, place)) for place in plan.keep]
    loss = _loss(programmer, memory, plan)
    if plan.lost or plan.mass_erase:
        about_to_lose(loss)
    if plan.changes:
        about_to_write()
    retries: tuple[str, ...] = ()
    try:
        _execute(programmer, memory, plan, kept)
    except (FlashRefused, VerifyFailed) as first:
        retries = (str(first),)
    if retries:
        again = plan_board(programmer, memory, contents, trusted=False, clear=clear)
        try:
            _execute(programmer, memory, again, kept)
        except (FlashRefused, VerifyFailed) as second:
            second.args = (_for_good(second),)
            raise
    code = sum(len(segment.data) for segment in contents if memory.code.contains(segment.span))
    return Written(code, plan.due_bytes, plan, loss.sentences, retries)


def refuse_strange_memory(programmer: Programmer, memory: MemoryMap) -> None:
    """Refuse a chip whose flash holds something where the product has nothing. Raises ForeignIdentity, ProbeError.

    Of a chip that nobody knows it may be another product's identity, which would leave the factory with its key.
    """
    flash = memory.flash
    pages = [page for gap in unlisted(memory) for page in gap.pages(flash.page_size)]
    sums = programmer.checksums(pages) if pages else ()
    strange = joined(p for p, crc in zip(pages, sums, strict=True) if crc != of_erased(flash.erased, flash.page_size))
    if strange:
        raise ForeignIdentity(
            f"the flash holds something at {strange[0]}, which the product does not use, and no run of this ledger has "
            "put it there: it may be another product's identity and its key; set the board aside, or repeat with "
            "--permit=mass-erase:REASON to erase all of it"
        )


def _execute(
    programmer: Programmer, memory: MemoryMap, plan: FlashPlan, kept: Sequence[tuple[Place, Reading | None]]
) -> None:
    if plan.changes:
        programmer.program(plan.erase, plan.program, mass_erase=plan.mass_erase is not None)
    spans = [place.span for place, _ in kept] + [segment.span for segment in plan.verify]
    held = programmer.checksums(spans) if plan.changes else [place.crc for place, _ in kept]
    for (place, before), crc in zip(kept, held, strict=False):
        if crc != place.crc or _unreadable(programmer, memory, place) != before:
            raise _changed(place)
    for segment, crc in zip(plan.verify, held[len(kept) :], strict=True):
        # pyOCD reports success on stuck bits: comparing is ours.
        if crc != checksum(segment.data):
            _compare(programmer, memory, segment)


def _unreadable(programmer: Programmer, memory: MemoryMap, place: Place) -> Reading | None:
    """What a kept place holds where it has no checksum: as far as it can be read, word by word."""
    return None if place.crc is not None else read_torn(programmer, place.span, _word_size(memory, place.span))


def _changed(place: Place) -> DutError:
    error = NvmDamaged if place.name == NVM else ForeignIdentity
    return error(
        f"the {place.name} ({place.span}) changed while the image was written, wanted every byte of it kept; set this "
        "board aside"
    )


def _compare(programmer: Programmer, memory: MemoryMap, wanted: Segment) -> None:
    """Name the place of a difference; the bytes decide, should they be right after all."""
    found = read_torn(programmer, wanted.span, _word_size(memory, wanted.span))
    torn = {address for word in found.torn for address in range(word.start, word.end)}
    wrong = [
        address
        for address, (is_, due) in enumerate(zip(found.data, wanted.data, strict=True), wanted.address)
        if is_ != due or address in torn
    ]
    if wrong:
        raise VerifyFailed(wrong[0], len(wrong))


def _for_good(error: DutError) -> str:
    """What was found, and that a third try is none of the line's business."""
    found = str(error).rpartition("; ")[0]
    return f"{found}, also after its pages were erased and written once more; set this board aside"


def _word_size(memory: MemoryMap, span: Span) -> int:
    area = memory.area_of(span)
    assert area is not None  # a product's places lie in its memories
    return area.word_size


# --- what a permit gives away ---


def _loss(programmer: Programmer, memory: MemoryMap, plan: FlashPlan) -> Loss:
    sentences, dev_nonce = [], None
    for place in plan.lost:
        if place.name == NVM:
            text, dev_nonce = _counters(programmer, memory)
        elif place.name == IDENTITY:
            text = _block(programmer, memory, place.span)
        else:
            text = "not known what it held"
        sentences.append(f"{place.name} {place.span}: {text}")
    return Loss(tuple(sentences), dev_nonce)


def stored_nonce(programmer: Programmer, memory: MemoryMap) -> int | None:
    """Last DevNonce that the board has stored; None when it has stored none, or none that can be read."""
    try:
        held = read_counters(programmer, memory)
    except NvmDamaged:
        return None
    return None if held == endnode.FRESH else held.dev_nonce


def _counters(programmer: Programmer, memory: MemoryMap) -> tuple[str, int | None]:
    try:
        held = read_counters(programmer, memory)
    except NvmDamaged:
        return "counters that cannot be read", None
    down = "none" if held.fcnt_down == endnode.FRESH.fcnt_down else held.fcnt_down
    text = f"DevNonce {held.dev_nonce}, JoinNonce {held.join_nonce}, FCntUp {held.fcnt_up}, FCntDown {down}"
    return text, held.dev_nonce


def _block(programmer: Programmer, memory: MemoryMap, place: Span) -> str:
    reading = read_torn(programmer, Span(place.start, BLOCK_SIZE), _word_size(memory, place))
    block = None if reading.torn else identity_block.decode(reading.data)
    return f"DevEUI {block.dev_eui}, key generation {block.generation}" if block else "no whole identity block"
