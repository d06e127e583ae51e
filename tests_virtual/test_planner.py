"""Planned flash sessions on virtual silicon, through the real driver: what silicon refuses, the plan never asks for."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.memory_map import MemoryMap, Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import FlashRefused, ProbeError, VerifyFailed
from lorafab.steps.flash import Loss, Written, plan_board, write_board
from lorafab.targets import MCUS
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.chip import Chip
from lorafab.virtual.chips import named
from lorafab.virtual.chips.nrf52 import with_build_code
from lorafab.virtual.faults import FaultPlan
from tests_virtual.test_line import Bench, Result

SITE = "planner"


@dataclass(frozen=True)
class Product:
    """A chip and where a product keeps its things."""

    chip: Chip
    target: str
    memory: MemoryMap
    unlisted: Span


def product(chip: Chip, target: str, code: Span, identity: Span, nvm: Span, unlisted: Span) -> Product:
    return Product(chip, target, MemoryMap(MCUS[target].areas, code, nvm, identity), unlisted)


F, KIB = 0x08000000, 1024
PRODUCTS = {
    "wle5": product(
        *(named("wle5"), "stm32wle5jc"),
        *(Span(F, 240 * KIB), Span(F + 250 * KIB, 2 * KIB), Span(F + 252 * KIB, 4 * KIB), Span(F + 248 * KIB, 8)),
    ),
    "l072": product(
        *(named("l072"), "stm32l072xz"),
        *(Span(F, 32 * KIB), Span(F + 32 * KIB, 128), Span(F + 33 * KIB, 256), Span(F + 40 * KIB, 8)),
    ),
    "l072-eeprom": product(
        *(named("l072"), "stm32l072xz"),
        *(Span(F, 32 * KIB), Span(0x08080000, 96), Span(0x08080100, 256), Span(0x08080080, 8)),
    ),
    "nrf52": product(
        *(with_build_code("C0"), "nrf52840"),
        *(Span(0, 32 * KIB), Span(32 * KIB, 4 * KIB), Span(36 * KIB, 8 * KIB), Span(48 * KIB, 8)),
    ),
}
every_product = pytest.mark.parametrize("name", list(PRODUCTS))


class Nest:
    """One board, whose power may fail, and what its memories hold."""

    def __init__(self, product: Product, folder: str) -> None:
        self.product, self.path = product, Path(folder) / "b.board"

    @contextmanager
    def programmer(self, faults: str = "", path: Path | None = None) -> Iterator[PyocdProgrammer]:
        """Connected to the board, which is powered."""
        board = Board.open(path or self.path, chip=self.product.chip, faults=FaultPlan.parse(faults))
        registry.attach(SITE, board)
        programmer = PyocdProgrammer(f"lorafab:{SITE}", self.product.target, 4000)
        try:
            board.power(True)
            programmer.connect()
            yield programmer
        finally:
            programmer.close()
            registry.detach(SITE)
            board.close()

    def held(self, span: Span) -> tuple[bytes, bytes]:
        """Bytes and states of the cells, as the board file has them; one cell is one word."""
        board = Board.open(self.path, chip=self.product.chip)
        try:
            stores = board.silicon.file.stores
            in_flash = self.product.memory.flash.span.contains(span)
            store = stores["flash" if in_flash else "eeprom"]
            area = self.product.memory.area_of(span)
            assert area is not None
            at, cell = span.start - area.start, store.spec.cell
            return store.read(at, span.size), bytes(store.states()[at // cell : -(-(at + span.size) // cell)])
        finally:
            board.close()


@dataclass(frozen=True)
class Case:
    """What is to be written, and what lies on the chip."""

    contents: tuple[Segment, ...]
    past: tuple[Segment, ...]

    @property
    def new(self) -> bool:
        return not self.past


@dataclass(frozen=True)
class Draw:
    """A case in few words, so that a failing one can be read: a new chip, or one that holds a good deal already."""

    seed: int
    pages: int
    more: int
    block: bool
    new: bool
    changed: tuple[int, ...]
    old_code: bool
    old_block: bool
    counters: bool
    something_else: bool

    def case(self, product: Product) -> Case:
        noise, memory = random.Random(self.seed).randbytes, product.memory
        assert memory.identity is not None
        image = noise(self.pages * memory.flash.page_size + self.more)
        block = (Segment(memory.identity.start, noise(96)),) if self.block else ()
        contents = (Segment(memory.code.start, image), *block)
        if self.new:
            return Case(contents, ())
        old = bytearray(image)
        for place in self.changed:
            old[place % len(old)] ^= 0x55
        past = [Segment(memory.code.start, bytes(old) + noise(-len(old) % 8))]
        if self.old_code:
            past.append(Segment(memory.code.start + (self.pages + 1) * memory.flash.page_size, noise(64)))
        if self.old_block:
            past.append(Segment(memory.identity.start, noise(96)))
        if self.counters:
            past.append(Segment(memory.nvm.start, noise(32)))
        if self.something_else:
            past.append(Segment(product.unlisted.start, noise(8)))
        return Case(contents, tuple(past))


draws = st.builds(
    Draw,
    seed=st.integers(0, 1 << 32),
    pages=st.integers(1, 3),
    more=st.integers(0, 20),
    block=st.booleans(),
    new=st.booleans(),
    changed=st.lists(st.integers(0, 1 << 16), max_size=2).map(tuple),
    old_code=st.booleans(),
    old_block=st.booleans(),
    counters=st.booleans(),
    something_else=st.booleans(),
)


@contextmanager
def prepared(product: Product, case: Case) -> Iterator[Nest]:
    with tempfile.TemporaryDirectory() as folder:
        nest = Nest(product, folder)
        with nest.programmer() as programmer:
            programmer.program([], case.past)
        yield nest


def kept(nest: Nest, case: Case) -> dict[Span, tuple[bytes, bytes]]:
    """Whatever no plan may touch: counters, memory of nobody, and the block of a board that keeps it."""
    memory = nest.product.memory
    assert memory.identity is not None
    spans = [memory.nvm, nest.product.unlisted] + ([memory.identity] if len(case.contents) == 1 else [])
    return {span: nest.held(span) for span in spans}


def check(nest: Nest, case: Case, before: dict[Span, tuple[bytes, bytes]]) -> None:
    """All of the contents are there, and nothing else has changed."""
    for segment in case.contents:
        assert nest.held(segment.span)[0] == segment.data
    for span, held in before.items():
        assert nest.held(span) == held, f"{span} was to be kept"


def write(programmer: PyocdProgrammer, nest: Nest, case: Case, **how: Any) -> Written:
    return write_board(programmer, nest.product.memory, case.contents, lambda: None, **how)


@every_product
def test_a_session_leaves_contents_exact_and_the_rest_untouched(name: str) -> None:
    """On any chip content; and silicon, which refuses to program a word twice, has nothing to refuse."""

    @settings(max_examples=3 if name == "nrf52" else 8, deadline=None)
    @given(draws)
    def run(draw: Draw) -> None:
        case = draw.case(PRODUCTS[name])
        with prepared(PRODUCTS[name], case) as nest:
            before = kept(nest, case)
            with nest.programmer() as programmer:
                assert write(programmer, nest, case, trusted=case.new).retries == ()
                assert not plan_board(programmer, nest.product.memory, case.contents, trusted=False).changes
            check(nest, case, before)

    run()


@every_product
def test_a_session_cut_anywhere_is_finished_by_the_next_one(name: str) -> None:
    """The power fails at any transfer of it, in the middle of an erase, of a word or of nothing."""

    # An nRF52 has a large flash, and its page is erased in 85 ms of simulated time.
    @settings(max_examples=3 if name == "nrf52" else 8, deadline=None)
    @given(draws, st.floats(0, 1))
    def run(draw: Draw, cut: float) -> None:
        case = draw.case(PRODUCTS[name])
        with prepared(PRODUCTS[name], case) as nest:
            before, begun = kept(nest, case), list[Loss]()
            planned, ended = transfers(nest, case)
            moment = planned + int(cut * (ended - planned))
            with nest.programmer(f"power_cut@transfer:{moment}") as programmer, pytest.raises(ProbeError):
                until_the_power_fails(programmer, nest, case, begun)
            with nest.programmer() as programmer:
                assert write(programmer, nest, case, clear=bool(begun)).retries == ()
            check(nest, case, before)

    run()


def until_the_power_fails(programmer: PyocdProgrammer, nest: Nest, case: Case, begun: list[Loss]) -> None:
    write(programmer, nest, case, trusted=case.new, about_to_lose=begun.append)
    programmer.read(Span(nest.product.memory.flash.start, 4))  # should it fail behind the last transfer that matters


def transfers(nest: Nest, case: Case) -> tuple[int, int]:
    """After how many transfers a session on such a board is planned, and ended; the board itself is not touched."""
    twin, counted = nest.path.with_name("twin.board"), list[int]()
    for work in (lambda one: plan_board(one, nest.product.memory, case.contents, trusted=case.new),
                 lambda one: write(one, nest, case, trusted=case.new)):  # fmt: skip
        shutil.copyfile(nest.path, twin)
        with nest.programmer(path=twin) as programmer:
            work(programmer)
            counted.append(programmer._session.probe.dap.counters.transfers)
    return counted[0], counted[1]


def used(product: Product) -> Case:
    """An image with one page changed on a board that has stored counters."""
    page = product.memory.flash.page_size
    image = random.Random(1).randbytes(2 * page)
    changed = image[:page] + b"\x00\xff" + image[page + 2 :]
    past = (Segment(product.memory.code.start, image), Segment(product.memory.nvm.start, b"\x11" * 32))
    return Case((Segment(product.memory.code.start, changed),), past)


def test_a_stuck_bit_is_named_after_a_second_try(tmp_path: Path) -> None:
    """The chip's own checksum finds it, the bytes tell where; pyOCD reported success both times."""
    nest = Nest(PRODUCTS["wle5"], str(tmp_path))
    case = Case((Segment(F, b"\x00" * 4096),), ())
    with nest.programmer("stuck_bit=0x08000803.5=1") as programmer, pytest.raises(VerifyFailed) as caught:
        write(programmer, nest, case, trusted=True)
    assert str(caught.value).startswith("1 byte from 0x08000803 on differ from what was written, also after its pages")


def test_words_that_were_programmed_with_ones_are_erased_at_the_second_try(tmp_path: Path) -> None:
    """They read erased and are not (STM32WL): the flash refuses them, and the board is good all the same."""
    nest = Nest(PRODUCTS["wle5"], str(tmp_path))
    board = Board.open(nest.path, chip=nest.product.chip)
    store = board.silicon.file.stores["flash"]
    store.begin_program(0, b"\xff" * 16)
    store.finish()
    board.close()
    case = Case((Segment(F, b"\x42" * 64),), ())
    with nest.programmer() as programmer:
        written = write(programmer, nest, case, trusted=True)
    assert nest.held(Span(F, 64))[0] == b"\x42" * 64
    assert [text[:38] for text in written.retries] == ["the flash could not be programmed at 0"]


def test_a_write_protected_page_fails_the_board(tmp_path: Path) -> None:
    """Two tries, and the sentence names the page; what lies there is as it was."""
    product = PRODUCTS["wle5"]
    case = used(product)
    with prepared(product, case) as nest:
        before = nest.held(Span(F + 0x800, 0x800))
        with nest.programmer("wrp=1") as programmer, pytest.raises(FlashRefused) as caught:
            write(programmer, nest, case)
        assert "0x08000800" in str(caught.value)
        assert str(caught.value).endswith("erased and written once more; set this board aside")
        assert nest.held(Span(F + 0x800, 0x800)) == before


@every_product
def test_one_changed_page_is_one_page(name: str) -> None:
    """The board file counts: one erase, and the words of one page."""
    product = PRODUCTS[name]
    case = used(product)
    with prepared(product, case) as nest, nest.programmer() as programmer:
        board = registry.board_in(SITE)
        assert board is not None
        store = board.silicon.file.stores["flash"]
        before = store.erases
        write(programmer, nest, case)
        assert store.erases - before == 1


@pytest.mark.slow
def test_counters_survive_a_new_image_and_a_permit_says_what_it_takes(tmp_path: Path) -> None:
    """DevNonce 37 is 37 after the flash session, and the firmware counts on; erased by permit it goes on 16 later."""
    line = Bench(tmp_path)
    first = line.run()
    assert first.status == 0, first.text
    board = Board.open(line.board("b1"), chip=named("wle5"))
    store = board.silicon.file.stores["flash"]
    for offset, data in (
        (0x3F000 + 64, endnode.encode(endnode.Counters(37, 1, 2, 3, 9))),  # behind what the first run has stored
        (0x800, b"\x00" * 8),  # not this image
    ):
        store.begin_program(offset, data)
        store.finish()
    board.close()
    label = f"--label={first.record['label']}"

    reworked = line.run(label)
    assert reworked.status == 0, reworked.text
    assert reworked.record["flash"]["erased"] == ["0x08000800..0x08000fff"]
    assert nonce(reworked) == 38, "one is spent by every run"

    erased = line.run(label, "--permit=mass-erase:returned from the field")
    assert erased.status == 0, erased.text
    assert erased.record["lost"] == [
        f"identity page 0x0803e800..0x0803efff: DevEUI {first.line[2]}, key generation 1",
        "NVM region 0x0803f000..0x0803ffff: DevNonce 38, JoinNonce 1, FCntUp 2, FCntDown 3",
    ]
    assert nonce(erased) == 38 + 16 + 1
    assert erased.record["keys"]["generation"] == 2
    page = (line.data / "reports" / erased.record["report_file"]).read_text()
    assert "DevNonce 38, JoinNonce 1" in page


def nonce(result: Result) -> int:
    found: int = next(m["value"] for s in result.record["steps"] for m in s["measurements"] if m["name"] == "dev_nonce")
    return found
