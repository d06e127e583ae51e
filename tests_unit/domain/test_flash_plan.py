"""lorafab.domain.flash_plan: what a flash session erases, programs and keeps is known before the board is changed."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.checksum import checksum
from lorafab.domain.flash_plan import FlashPlan, joined, plan_flash, spans_to_ask
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.memory_map import Area, MemoryMap, Segment, Span, Times
from lorafab.errors import ImageError
from lorafab.targets import MCUS

# --- a memory that refuses what silicon refuses ---


class PowerCut(Exception):
    """The supply is gone in the middle of an operation."""


@dataclass
class Memory:
    """All memories of a chip. A word is programmed once between erases, where its area does not overwrite.

    A power cut leaves words that read as before, as wanted, as erased, as garbage or not at all; whatever they read,
    they must not be programmed before they were erased.
    """

    areas: tuple[Area, ...]
    data: dict[Area, bytearray] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    """Words that must be erased before they are programmed, by address."""
    torn: set[int] = field(default_factory=set)
    """Words that cannot be read."""
    left: int | None = None
    """Operations until the power goes."""
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    operations: int = 0

    def __post_init__(self) -> None:
        for area in self.areas:
            self.data[area] = bytearray([area.erased]) * area.size

    def area(self, span: Span) -> Area:
        return next(area for area in self.areas if area.span.contains(span))

    def read(self, span: Span) -> bytes:
        area = self.area(span)
        return bytes(self.data[area][span.start - area.start : span.end - area.start])

    def put(self, segment: Segment) -> None:
        """What lies there from earlier times."""
        area = self.area(segment.span)
        self.data[area][segment.address - area.start : segment.span.end - area.start] = segment.data
        for word in segment.span.pages(area.word_size):
            if self.read(word) != bytes([area.erased]) * word.size:
                self.used.add(word.start)

    def checksum(self, span: Span) -> int | None:
        area = self.area(span)
        if any(word.start in self.torn for word in span.pages(area.word_size)):
            return None
        return checksum(self.read(span))

    def execute(self, plan: FlashPlan) -> None:
        if plan.mass_erase:
            assert not any(self.areas[0].span.contains(span) for span in plan.erase)
            self._erase(self.areas[0].span)
        for span in plan.erase:
            area = self.area(span)
            assert span.start % area.page_size == 0, "only whole pages can be erased"
            assert span.size == area.page_size
            self._erase(span)
        for segment in plan.program:
            area = self.area(segment.span)
            assert segment.address % area.word_size == len(segment.data) % area.word_size == 0, "whole words only"
            for word in segment.span.pages(area.word_size):
                self._program(area, word, segment.data[word.start - segment.address :][: word.size])

    def _erase(self, span: Span) -> None:
        area = self.area(span)
        cut = self._cut()
        for word in span.pages(area.word_size):
            erased = bytes([area.erased]) * word.size
            self.used.discard(word.start)
            self.torn.discard(word.start)
            self._set(area, word, self._torn(area, word, erased) if cut else erased)
        if cut:
            raise PowerCut

    def _program(self, area: Area, word: Span, data: bytes) -> None:
        assert area.overwrites or word.start not in self.used, f"{word} is programmed twice"
        cut = self._cut()
        self.used.add(word.start)
        self.torn.discard(word.start)
        self._set(area, word, self._torn(area, word, data) if cut else data)
        if cut:
            raise PowerCut

    def _cut(self) -> bool:
        self.operations += 1
        if self.left is None:
            return False
        self.left -= 1
        return self.left == 0

    def _torn(self, area: Area, word: Span, wanted: bytes) -> bytes:
        self.used.add(word.start)
        if self.chance.random() < 0.2:
            self.torn.add(word.start)
        garbage = bytes(self.chance.getrandbits(8) for _ in wanted)
        return self.chance.choice([wanted, self.read(word), bytes([area.erased]) * word.size, garbage])

    def _set(self, area: Area, word: Span, data: bytes) -> None:
        self.data[area][word.start - area.start : word.end - area.start] = data

    def plan(self, case: "Case", *, trusted: bool, clear: bool = False) -> FlashPlan:
        spans = spans_to_ask(case.memory, case.contents, clear=clear)
        found = {span: self.checksum(span) for span in spans}
        return plan_flash(case.memory, case.contents, found, trusted=trusted, clear=clear)

    def state(self, span: Span) -> tuple[bytes, set[int], set[int]]:
        """Bytes, used words and unreadable words."""
        used, torn = ({at for at in words if span.start <= at < span.end} for words in (self.used, self.torn))
        return self.read(span), used, torn


# --- cases ---


@dataclass(frozen=True)
class Case:
    """A product, what is to be written, and a chip with a past."""

    memory: MemoryMap
    contents: tuple[Segment, ...]
    chip: Memory
    trusted: bool


@st.composite
def maps(draw: st.DrawFn) -> MemoryMap:
    """Pages, words and erased values as microcontrollers have them, and others; places in any order, with gaps."""
    word = draw(st.sampled_from([1, 2, 4, 8, 16]))
    page = word * draw(st.sampled_from([1, 2, 4, 16]))
    erase_s, mass_s = draw(st.sampled_from([(1.0, None), (1.0, 1.5), (0.1, 9.0)]))
    erased = draw(st.sampled_from([0x00, 0xFF]))
    base = draw(st.sampled_from([0, 0x0800_0000]))
    sizes = {"code": draw(st.integers(1, 6)), "nvm": draw(st.integers(1, 2)), "identity": draw(st.integers(1, 2))}
    order = draw(st.permutations([*sizes, "gap", "gap"]))
    starts, at = {}, 0
    for name in order:
        starts[name] = at
        at += sizes.get(name) or draw(st.integers(0, 2))
    flash = Area(base, max(at, 1) * page, page, word, erased, times=Times(erase_s, word, 0.01, mass_s))
    eeprom = Area(base + 0x0008_0000, 64, 4, 4, draw(st.sampled_from([0x00, 0xFF])), overwrites=True)
    spans = {name: Span(base + starts[name] * page, size * page) for name, size in sizes.items()}
    in_eeprom = draw(st.sampled_from(["", "", "nvm", "identity", "none"]))
    identity: Span | None = spans["identity"]
    if in_eeprom == "identity":
        identity = Span(eeprom.start, 32)
    nvm = Span(eeprom.start + 32, 32) if in_eeprom == "nvm" else spans["nvm"]
    return MemoryMap((flash, eeprom), spans["code"], nvm, None if in_eeprom == "none" else identity)


@st.composite
def segments(draw: st.DrawFn, place: Span, most: int) -> list[Segment]:
    """Apart by at least a byte, as an image has them."""
    result, at = list[Segment](), place.start
    for _ in range(draw(st.integers(1, most))):
        at += draw(st.integers(0, max(0, min(40, place.end - at - 1))))
        if at >= place.end:
            break
        data = draw(st.binary(min_size=1, max_size=min(48, place.end - at)))
        result.append(Segment(at, data))
        at += len(data) + 1
    return result


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A chip that is new, that holds some of what it should, or that holds anything."""
    memory = draw(maps())
    contents = draw(segments(memory.code, 4))
    if memory.identity is not None and draw(st.booleans()):
        contents += draw(segments(memory.identity, 1))
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    chip = Memory(memory.areas, chance=chance)
    trusted = draw(st.booleans())
    share = draw(st.sampled_from([0.0, 0.2, 0.8]))
    for area in memory.areas:
        for page in area.span.pages(area.page_size):
            if chance.random() < share:
                _give_past(chip, area, page, contents, trusted)
    return Case(memory, tuple(contents), chip, trusted)


def _give_past(chip: Memory, area: Area, page: Span, contents: Sequence[Segment], trusted: bool) -> None:
    kinds = ["as wanted", "anything", "some words"] if trusted else ["as wanted", "anything", "used", "torn"]
    kind = chip.chance.choice(kinds)
    due = bytearray([area.erased]) * page.size
    for segment in contents:
        for address in range(max(page.start, segment.address), min(page.end, segment.span.end)):
            due[address - page.start] = segment.data[address - segment.address]
    noise = bytes(chip.chance.getrandbits(8) for _ in due)
    if kind == "as wanted":
        chip.put(Segment(page.start, bytes(due)))
    elif kind == "anything":
        chip.put(Segment(page.start, noise))
    elif kind == "some words":
        word = chip.chance.choice(page.pages(area.word_size))
        chip.put(Segment(word.start, noise[: word.size]))
    else:
        # An earlier session was cut short: words that read erased are not, or read nothing.
        words = {word.start for word in page.pages(area.word_size) if chip.chance.random() < 0.5}
        chip.used |= words
        chip.torn |= words if kind == "torn" else set()


def check(case: Case, before: Memory, plan: FlashPlan) -> None:
    """Image and identity exact, and nothing else has changed."""
    chip, memory = case.chip, case.memory
    for segment in case.contents:
        assert chip.read(segment.span) == segment.data
        assert chip.checksum(segment.span) is not None
    touched = {page for segment in case.contents for page in segment.span.pages(chip.area(segment.span).page_size)}
    for area in memory.areas:
        for page in set(area.span.pages(area.page_size)) - touched:
            if plan.mass_erase and area is memory.flash:
                assert chip.read(page) == bytes([area.erased]) * page.size
                stale = memory.code.contains(page)
                assert stale or before.read(page) == chip.read(page), f"{page} was to be kept"
            else:
                assert chip.state(page) == before.state(page), f"{page} was to be kept"
    for page in touched:
        area = chip.area(page)
        if memory.code.contains(page):
            rest = set(range(page.start, page.end)) - {a for s in case.contents for a in range(s.address, s.span.end)}
            assert all(chip.read(Span(at, 1)) == bytes([area.erased]) for at in rest), "old code in a page of the image"


def copy(chip: Memory) -> Memory:
    """As it is now."""
    twin = replace(chip, used=set(chip.used), torn=set(chip.torn), data={})
    twin.data = {area: bytearray(data) for area, data in chip.data.items()}
    return twin


@settings(max_examples=1000)
@given(cases())
def test_the_executed_plan_leaves_image_and_identity_exact_and_every_kept_byte_untouched(case: Case) -> None:
    """On any memory, whatever the chip holds; and no programmed word is programmed again."""
    before = copy(case.chip)
    plan = case.chip.plan(case, trusted=case.trusted)
    case.chip.execute(plan)
    check(case, before, plan)
    assert not case.chip.plan(case, trusted=False).changes, "the same image writes nothing"


@settings(max_examples=1000)
@given(cases(), st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_a_session_cut_anywhere_is_finished_by_the_next_one(case: Case, cuts: list[float]) -> None:
    """Up to three power cuts, each in the middle of an erase or of a word; no programmed word is programmed twice."""
    before, trusted, clearing = copy(case.chip), case.trusted, False
    for cut in cuts:
        plan = case.chip.plan(case, trusted=trusted, clear=clearing)
        count = copy(case.chip)
        count.execute(plan)
        if count.operations == case.chip.operations:
            break
        case.chip.left = 1 + int(cut * (count.operations - case.chip.operations - 1))
        with pytest.raises(PowerCut):
            case.chip.execute(plan)
        case.chip.left = None
        # What a run has durably noted before it lets go of all of the flash.
        trusted, clearing = False, clearing or plan.mass_erase is not None
    plan = case.chip.plan(case, trusted=trusted, clear=clearing)
    case.chip.execute(plan)
    check(case, before, replace(plan, mass_erase=case.memory.flash.span) if clearing else plan)


@settings(max_examples=200)
@given(cases())
def test_with_a_permit_all_of_the_flash_is_erased_and_what_was_lost_is_named(case: Case) -> None:
    """Other memories keep what they have; a place that was blank is not lost."""
    before = copy(case.chip)
    plan = case.chip.plan(case, trusted=case.trusted, clear=True)
    case.chip.execute(plan)
    flash = case.memory.flash
    contents = {a for one in case.contents for a in range(one.address, one.span.end)}
    assert all(
        case.chip.read(Span(at, 1)) == bytes([flash.erased])
        for at in set(range(flash.start, flash.span.end)) - contents
    )
    assert all(case.chip.read(one.span) == one.data for one in case.contents)
    lost = [place.span for place in plan.lost]
    for name, place in case.memory.reserved.items():
        held = before.checksum(place) != checksum(bytes([flash.erased]) * place.size)
        assert (name in {place.name for place in plan.lost}) == (held and flash.span.contains(place))
    for page in flash.span.pages(flash.page_size):
        held = before.checksum(page) != checksum(bytes([flash.erased]) * page.size)
        if held and not case.memory.code.contains(page):
            assert any(span.contains(page) for span in lost)


# --- single rules, on the memories of real chips ---

WLE5, L072, NRF = (MCUS[name] for name in ("stm32wle5jc", "stm32l072xz", "nrf52840"))
CODE, IDENTITY, NVM = Span(0x08000000, 0x3E000), Span(0x0803E800, 0x800), Span(0x0803F000, 0x1000)
MEMORY = MemoryMap(WLE5.areas, CODE, NVM, IDENTITY)
BLOCK = Segment(IDENTITY.start, b"\x42" * BLOCK_SIZE)
IMAGE = Segment(CODE.start, bytes(range(1, 256)) * 80)


def new(memory: MemoryMap = MEMORY, *contents: Segment, trusted: bool = True) -> Case:
    return Case(memory, contents or (IMAGE, BLOCK), Memory(memory.areas), trusted)


def plan_of(case: Case, **how: bool) -> FlashPlan:
    return case.chip.plan(case, trusted=how.pop("trusted", case.trusted), **how)


def finished(*contents: Segment) -> Case:
    """A board that was written, and whose firmware has stored counters."""
    case = new(MEMORY, *contents)
    case.chip.execute(plan_of(case))
    case.chip.put(Segment(NVM.start, b"counters"))
    return case


def test_a_new_chip_is_programmed_without_an_erase() -> None:
    """Every word of image and block, nothing else; the counters' region is kept."""
    plan = plan_of(new())
    assert (plan.erase, plan.mass_erase, plan.skip) == ((), None, ())
    assert [segment.span for segment in plan.program] == [Span(CODE.start, 20400), BLOCK.span]
    assert [(place.name, place.span) for place in plan.keep] == [("NVM region", NVM)]
    assert plan.due_bytes == 20400 + 96


def test_the_same_image_writes_nothing() -> None:
    """All of it is skipped, the identity page is kept, and the plan says so."""
    case = finished()
    plan = plan_of(Case(MEMORY, (IMAGE,), case.chip, False))
    assert not plan.changes
    assert joined(plan.skip) == [Span(CODE.start, 10 * 0x800)]
    assert [place.name for place in plan.keep] == ["identity page", "NVM region"]
    assert "nothing is written" in plan.text()


def test_one_changed_page_is_one_page() -> None:
    """One erase, one page of words."""
    case = finished()
    changed = bytearray(IMAGE.data)
    changed[0x1000] ^= 1
    plan = plan_of(Case(MEMORY, (Segment(CODE.start, bytes(changed)),), case.chip, False))
    assert plan.erase == (Span(CODE.start + 0x1000, 0x800),)
    assert [segment.span for segment in plan.program] == [Span(CODE.start + 0x1000, 0x800)]
    assert plan.expected_s == pytest.approx(22.02e-3 + 256 * 81.69e-6)


def test_blank_pages_of_a_board_that_was_interrupted_are_erased_first() -> None:
    """They may only look erased; with nothing to keep all of the flash is erased at once, which takes less time."""
    plan = plan_of(new(trusted=False))
    assert plan.mass_erase
    assert not plan.erase
    case = new(trusted=False)
    case.chip.put(Segment(NVM.start, b"counters"))
    plan = plan_of(case)
    assert not plan.mass_erase
    assert len(plan.erase) == 11


@pytest.mark.parametrize(
    "place",
    [Span(NVM.start, 8), Span(0x0803E000, 8), Span(IDENTITY.start + 0x100, 8)],
    ids=["NVM", "unlisted", "identity"],
)
def test_no_mass_erase_while_something_is_to_be_kept(place: Span) -> None:
    """Counters, memory that no product names, the block of a board that keeps it."""
    case = new(MEMORY, IMAGE, trusted=False)
    case.chip.put(Segment(place.start, b"to keep!"))
    plan = plan_of(case)
    assert not plan.mass_erase
    assert plan.erase
    case.chip.execute(plan)
    assert case.chip.read(place) == b"to keep!"


def test_one_page_that_cannot_be_read_takes_the_trust_from_all() -> None:
    """Somebody was interrupted on this chip, whatever the ledger knows."""
    case = new(MEMORY, IMAGE)
    case.chip.torn.add(CODE.start + 8)
    case.chip.put(Segment(NVM.start, b"counters"))
    assert len(plan_of(case).erase) == 10


def test_the_identity_is_added_later_without_an_erase() -> None:
    """Into erased words of its page, in whole words; what else is in the page stays."""
    case = finished(IMAGE)
    case.chip.put(Segment(IDENTITY.start + 0x200, b"other"))
    later = Case(MEMORY, (IMAGE, BLOCK), case.chip, True)
    plan = plan_of(later)
    assert plan.erase == ()
    assert [segment.span for segment in plan.program] == [BLOCK.span]
    case.chip.execute(plan)
    assert case.chip.read(BLOCK.span) == BLOCK.data
    assert case.chip.read(Span(IDENTITY.start + 0x200, 5)) == b"other"


def test_a_word_that_was_programmed_is_never_programmed_again() -> None:
    """A block where another one lies: its page is erased first."""
    case = finished()
    plan = plan_of(Case(MEMORY, (IMAGE, Segment(IDENTITY.start, b"\x43" * BLOCK_SIZE)), case.chip, True))
    assert plan.erase == (IDENTITY,)


def test_another_whole_block_is_not_taken_for_the_same() -> None:
    """Both end with a CRC-32 over themselves, so that one CRC-32 over either of them is the same number."""
    old, new = (body + zlib.crc32(body).to_bytes(4, "little") for body in (b"\x01" * 92, b"\x02" * 92))
    assert zlib.crc32(old) == zlib.crc32(new)
    case = finished(IMAGE, Segment(IDENTITY.start, old))
    rework = Case(MEMORY, (IMAGE, Segment(IDENTITY.start, new)), case.chip, False)
    assert plan_of(rework).erase == (IDENTITY,)
    case.chip.execute(plan_of(rework))
    assert case.chip.read(Span(IDENTITY.start, 96)) == new


def test_a_shorter_image_leaves_old_code_behind_it_alone() -> None:
    """Nothing runs it, and looking at all of the flash would cost more than the image."""
    case = finished()
    old = case.chip.read(Span(CODE.start + 0x800, 0x800))
    case.chip.execute(plan_of(Case(MEMORY, (Segment(CODE.start, b"short"),), case.chip, False)))
    assert case.chip.read(Span(CODE.start, 0x800)) == b"short" + b"\xff" * 0x7FB
    assert case.chip.read(Span(CODE.start + 0x800, 0x800)) == old


def test_data_eeprom_is_written_over_and_only_where_it_differs() -> None:
    """Its words are never erased first; words that are right already are spared."""
    identity = Span(0x08080000, 128)
    memory = MemoryMap(L072.areas, Span(0x08000000, 0x8000), Span(0x08008000, 0x100), identity)
    case = new(memory, Segment(identity.start, b"\x11" * 8 + bytes(8) + b"\x22" * 8))
    plan = plan_of(case)
    assert plan.erase == ()
    assert [segment.span for segment in plan.program] == [Span(identity.start, 8), Span(identity.start + 16, 8)]
    case.chip.execute(plan)
    again = Case(
        memory, (Segment(identity.start, b"\x11" * 8 + b"\x33" * 4 + bytes(4) + b"\x22" * 8),), case.chip, False
    )
    assert [segment.span for segment in plan_of(again).program] == [Span(identity.start + 8, 4)]


def test_without_a_mass_erase_of_its_own_a_chip_is_cleared_by_pages() -> None:
    """The nRF52's erases the UICR too, and with it what keeps the debug port open."""
    memory = MemoryMap(NRF.areas, Span(0, 0x20000), Span(0x22000, 0x2000), Span(0x21000, 0x1000))
    case = new(memory, Segment(0, b"\x01" * 4096), trusted=False)
    case.chip.put(Segment(0x22000, b"counters"))
    case.chip.put(Segment(0x40000, b"else"))
    plan = plan_of(case, clear=True)
    assert not plan.mass_erase
    assert plan.erase == (Span(0, 4096), Span(0x22000, 4096), Span(0x40000, 4096))
    assert [(place.name, place.span) for place in plan.lost] == [
        ("NVM region", memory.nvm),
        ("unlisted memory", Span(0x40000, 4096)),
    ]


def test_half_words_are_filled_with_the_erased_value() -> None:
    """And segments that meet in a word become one."""
    plan = plan_of(new(MEMORY, Segment(CODE.start + 3, b"\x01\x02"), Segment(CODE.start + 6, b"\x03")))
    assert plan.program == (Segment(CODE.start, b"\xff\xff\xff\x01\x02\xff\x03\xff"),)
    memory = MemoryMap(L072.areas, Span(0x08000000, 0x8000), Span(0x08008000, 0x100), None)
    assert plan_of(new(memory, Segment(0x08000001, b"\x01"))).program == (Segment(0x08000000, b"\x00\x01\x00\x00"),)


@pytest.mark.parametrize(
    ("address", "size", "sentence"),
    [
        (
            IDENTITY.start - 8,
            16,
            "needs pages of the identity page (0x0803e800..0x0803efff), wanted code inside 0x0800",
        ),
        (IDENTITY.end - 8, 16, "needs pages of the identity page"),
        (NVM.start, 8, "needs pages of the NVM region (0x0803f000..0x0803ffff)"),
        (NVM.end - 1, 1, "link the firmware for this memory map"),
        (0x0803E000, 8, "needs pages outside the code region 0x08000000..0x0803dfff"),
        (NVM.end, 8, "lies outside the flash (0x08000000..0x0803ffff); check product.yaml"),
        (CODE.start - 8, 8, "lies outside the flash"),
    ],
)
def test_refusals_name_the_place_and_what_was_wanted(address: int, size: int, sentence: str) -> None:
    """One sentence, with both spans."""
    with pytest.raises(ImageError) as caught:
        plan_of(new(MEMORY, IMAGE, Segment(address, b"\x02" * size)))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("memory", "contents", "sentence"),
    [
        (replace(MEMORY, code=Span(CODE.start, 0x3EC00), identity=Span(0x0803EC00, 0x400)),
         Segment(0x0803E800, b"\x01"), "needs pages of the identity page (0x0803ec00..0x0803efff)"),
        (replace(MEMORY, code=Span(CODE.start, 0x3EC00), identity=Span(0x0803EC00, 0x400)),
         Segment(0x0803EC00, b"\x01"), "shares a page with the code region"),
        (replace(MEMORY, identity=Span(0x0803E800, 0x400), nvm=Span(0x0803EC00, 0x1400)),
         Segment(0x0803E800, b"\x01"), "shares a page with the NVM region (0x0803ec00..0x0803ffff), wanted a page"),
    ],
    ids=["image", "block and code", "block and counters"],
)  # fmt: skip
def test_a_shared_page_is_refused_by_name(memory: MemoryMap, contents: Segment, sentence: str) -> None:
    """The page is what gets erased: one would take the other with it."""
    with pytest.raises(ImageError) as caught:
        plan_of(new(memory, contents))
    assert sentence in str(caught.value)


def test_an_address_that_is_given_twice_is_refused() -> None:
    """No word can be programmed twice."""
    with pytest.raises(ImageError, match=r"gives 0x08000004\.\.0x08000004 twice"):
        plan_of(new(MEMORY, Segment(CODE.start, b"12345"), Segment(CODE.start + 4, b"x")))


def test_a_plan_can_be_read_and_never_prints_what_it_carries() -> None:
    """Each span with its size and what happens to it; the block holds a key."""
    case = finished()
    changed = Segment(CODE.start, b"\xaa" + IMAGE.data[1:])
    plan = plan_of(Case(MEMORY, (changed, Segment(IDENTITY.start, b"\x43" * BLOCK_SIZE)), case.chip, False))
    assert plan.text().splitlines() == [
        "keep     0x0803f000..0x0803ffff     4096 B  NVM region",
        "erase    0x08000000..0x080007ff     2048 B",
        "erase    0x0803e800..0x0803efff     2048 B",
        "program  0x08000000..0x080007ff     2048 B",
        "program  0x0803e800..0x0803e85f       96 B",
        "skip     0x08000800..0x08004fff    18432 B  identical",
        "about 66 ms of erasing and programming",
    ]
    assert "CCCC" not in repr(plan)
    assert "4343" not in repr(plan)


def test_a_plan_with_a_permit_says_what_is_lost() -> None:
    """Before the operator lets it happen."""
    text = plan_of(finished(), clear=True).text()
    assert "lose     0x0803f000..0x0803ffff     4096 B  NVM region" in text
    assert "lose     0x0803e800..0x0803efff     2048 B  identity page" in text
    assert "erase    0x08000000..0x0803ffff   262144 B  at once" in text
