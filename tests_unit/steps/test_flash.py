"""lorafab.steps.flash: everything that was sent is on the board, and nothing else has changed."""

from collections.abc import Callable, Sequence

import pytest

from lorafab.domain import identity_block
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.errors import ImageError, NvmDamaged, ProbeError, RecordError, VerifyFailed
from lorafab.interfaces import ClaimRequest
from lorafab.steps.flash import write_board
from lorafab.steps.identity import Assignment
from tests_unit.fakes import IDENTITY, MCU, MEMORY, FakeBoard, FakeProgrammer

Ask = Callable[..., ClaimRequest]
Give = Callable[..., Assignment]
BASE = MCU.flash.start
IMAGE = (Segment(BASE, bytes(range(200))), Segment(BASE + 0x1003, b"\x01\x02\x03"))
BLOCK = Span(IDENTITY.start, identity_block.BLOCK_SIZE)


def contents(assignment: Assignment) -> tuple[Segment, ...]:
    """What goes down in one session: the image, and the block of a new identity."""
    if assignment.to_write is None:
        return IMAGE
    return (*IMAGE, Segment(BLOCK.start, identity_block.encode(assignment.to_write)))


def content(board: FakeBoard, span: Span) -> bytes:
    return bytes(board.flash[span.start - BASE : span.end - BASE])


def note() -> None:
    """What a run notes before it writes; most tests do not look."""


def used(board: FakeBoard) -> bytes:
    """Give the board a past: counters, and a record that a power cut tore."""
    board.program(Segment(MEMORY.nvm.start, endnode.encode(endnode.Counters(9, 1, 2, 3, 1))))
    board.torn.add(MEMORY.nvm.start + 40)
    return content(board, MEMORY.nvm)


def test_a_new_board_holds_image_and_identity_and_nothing_else(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask
) -> None:
    """Every other byte of the flash is as erased."""
    assignment = give(ask())
    assert assignment.to_write is not None
    written = write_board(programmer, MEMORY, contents(assignment), note)
    # 200 and 3 bytes of image, padded to 200 and 8, and the block's 96
    assert (written.image_bytes, written.bytes_verified) == (203, 304)
    wanted = bytearray(b"\xff" * MCU.flash.size)
    for segment in (*IMAGE, Segment(BLOCK.start, identity_block.encode(assignment.to_write))):
        wanted[segment.address - BASE : segment.span.end - BASE] = segment.data
    assert board.flash == wanted


def test_the_run_notes_it_before_the_first_byte_changes(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask
) -> None:
    """Once, and a note that cannot be made leaves the board as it was."""
    assignment, blank, seen = give(ask()), bytes(board.flash), list[bytes]()
    write_board(programmer, MEMORY, contents(assignment), lambda: seen.append(bytes(board.flash)))
    assert seen == [blank]
    written = bytes(board.flash)
    assert written != blank

    def full() -> None:
        raise RecordError("the disk is full; free space")

    with pytest.raises(RecordError):
        write_board(programmer, MEMORY, (Segment(BASE, b"other"),), full)
    assert board.flash == written


def test_what_is_refused_is_not_noted(programmer: FakeProgrammer, give: Give, ask: Ask) -> None:
    """A board that nobody is about to write keeps what it passed with."""
    with pytest.raises(ImageError):
        write_board(
            programmer, MEMORY, (Segment(MEMORY.nvm.start, b"x"),), give(ask()), lambda: pytest.fail("it was noted")
        )


def test_rework_leaves_identity_page_and_counters_alone(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask
) -> None:
    """A board that keeps its key has that page not even erased; the torn record in the NVM region stays torn."""
    assignment = give(ask())
    write_board(programmer, MEMORY, contents(assignment), note)
    past, page = used(board), content(board, IDENTITY)
    again = Assignment(**{**vars(assignment), "to_write": None})
    write_board(programmer, MEMORY, (Segment(BASE, b"new firmware"),), note)
    assert content(board, IDENTITY) == page
    assert content(board, MEMORY.nvm) == past
    assert MEMORY.nvm.start + 40 in board.torn
    assert content(board, Span(BASE, 12)) == b"new firmware"
    assert content(board, Span(BASE + 16, 0x7F0)) == b"\xff" * 0x7F0, "the old image's bytes in that page are gone"


def test_a_stuck_bit_is_found_although_the_flash_reported_success(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask
) -> None:
    """The first address and the number of bytes are told."""
    board.stuck_at = {BASE + 4: 0x80, BASE + 6: 0x80}
    with pytest.raises(VerifyFailed) as caught:
        write_board(programmer, MEMORY, contents(give(ask())), note)
    assert (caught.value.address, caught.value.count) == (BASE + 4, 2)


def test_a_stuck_bit_in_the_key_is_told_without_the_key(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask
) -> None:
    """Address and count only: the bytes are the key."""
    at = BLOCK.start + identity_block.APP_KEY_OFFSET
    # All of it: one stuck bit may be right by chance, and no key is 16 times 0xFF.
    board.stuck_at = {at + index: 0xFF for index in range(16)}
    assignment = give(ask())
    assert assignment.to_write is not None
    key = assignment.to_write.app_key.reveal()
    with pytest.raises(VerifyFailed) as caught:
        write_board(programmer, MEMORY, contents(assignment), note)
    assert at <= caught.value.address < at + 16
    for part in (key.hex(), key[:4].hex(), repr(key)):
        assert part.upper() not in str(caught.value).upper()


@pytest.mark.parametrize("name", ["identity page", "NVM region"])
def test_an_image_over_reserved_pages_is_refused_before_anything_is_erased(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask, name: str
) -> None:
    """The board stays as it was."""
    board.program(Segment(BASE, b"\x11" * 8))
    before = bytes(board.flash)
    span = IDENTITY if name == "identity page" else MEMORY.nvm
    with pytest.raises(ImageError, match=name):
        write_board(programmer, MEMORY, (*IMAGE, Segment(span.end - 8, b"\x22" * 8)), give(ask()), note)
    assert bytes(board.flash) == before
    assert programmer.calls == 1, "the identity page was read, nothing more"


class Careless(FakeProgrammer):
    """Programs, and harms the NVM region on the way."""

    harm: Callable[[FakeBoard], None]

    def program(self, erase: Sequence[Span], segments: Sequence[Segment]) -> None:
        """As asked, and more."""
        super().program(erase, segments)
        self.harm(self.board)


@pytest.mark.parametrize(
    "harm",
    [
        lambda board: board.erase(Span(MEMORY.nvm.start, 0x800)),
        lambda board: board.program(Segment(MEMORY.nvm.end - 8, bytes(8))),
        lambda board: board.torn.add(MEMORY.nvm.start + 0x100),
    ],
    ids=["erased", "programmed", "torn"],
)
def test_counters_that_do_not_survive_are_noticed(
    board: FakeBoard, give: Give, ask: Ask, harm: Callable[[FakeBoard], None]
) -> None:
    """Whatever the tool did to the NVM region: the board is set aside, because a DevNonce may repeat."""
    used(board)
    programmer = Careless(board)
    programmer.harm = harm
    with pytest.raises(NvmDamaged, match=r"NVM region \(0x0803f000\.\.0x0803ffff\) changed"):
        write_board(programmer, MEMORY, contents(give(ask())), note)


def test_a_probe_lost_at_any_moment_is_the_stations_fault(board: FakeBoard, give: Give, ask: Ask) -> None:
    """Never a FAIL, and never a success."""
    assignment = give(ask())
    calls = FakeProgrammer(board)
    write_board(calls, MEMORY, contents(assignment), note)
    for lost_after in range(calls.calls):
        with pytest.raises(ProbeError):
            write_board(FakeProgrammer(board, unplug_at=lost_after), MEMORY, contents(assignment), note)


def test_a_run_cut_anywhere_can_be_repeated(give: Give, ask: Ask, board: FakeBoard) -> None:
    """The pages are erased again, so that half a session before does not stop the next one."""
    assignment = give(ask())
    for _ in range(2):
        write_board(FakeProgrammer(board), MEMORY, contents(assignment), note)
