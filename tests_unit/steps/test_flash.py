"""lorafab.steps.flash: everything that was sent is on the board, and nothing else has changed."""

from collections.abc import Callable, Sequence

import pytest

from lorafab.domain import identity_block
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.errors import (
    FlashRefused,
    ForeignIdentity,
    ImageError,
    NvmDamaged,
    ProbeError,
    RecordError,
    VerifyFailed,
)
from lorafab.interfaces import ClaimRequest
from lorafab.steps.flash import Loss, plan_board, write_board
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


def test_what_is_refused_is_not_noted(programmer: FakeProgrammer) -> None:
    """A board that nobody is about to write keeps what it passed with."""
    with pytest.raises(ImageError):
        write_board(programmer, MEMORY, (Segment(MEMORY.nvm.start, b"x"),), lambda: pytest.fail("it was noted"))


def test_rework_leaves_identity_page_and_counters_alone(
    board: FakeBoard, programmer: FakeProgrammer, give: Give, ask: Ask
) -> None:
    """A board that keeps its key has that page not even erased; the torn record in the NVM region stays torn."""
    assignment = give(ask())
    write_board(programmer, MEMORY, contents(assignment), note)
    past, page = used(board), content(board, IDENTITY)
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
    assert str(caught.value) == (
        "2 bytes from 0x08000004 on differ from what was written, also after its pages were erased and written once "
        "more; set this board aside"
    )


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
    board: FakeBoard, programmer: FakeProgrammer, name: str
) -> None:
    """The board stays as it was."""
    board.program(Segment(BASE, b"\x11" * 8))
    before = bytes(board.flash)
    at = IDENTITY.start - 8 if name == "identity page" else MEMORY.nvm.end - 16
    with pytest.raises(ImageError, match=name):
        write_board(programmer, MEMORY, (*IMAGE, Segment(at, b"\x22" * 16)), note)
    assert bytes(board.flash) == before


class Careless(FakeProgrammer):
    """Programs, and harms the NVM region on the way."""

    harm: Callable[[FakeBoard], None]

    def program(self, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False) -> None:
        """As asked, and more."""
        super().program(erase, segments, mass_erase=mass_erase)
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


def test_a_probe_lost_at_any_moment_is_the_stations_fault(give: Give, ask: Ask) -> None:
    """Never a FAIL, and never a success."""
    due = contents(give(ask()))
    calls = FakeProgrammer(FakeBoard(powered=True))
    write_board(calls, MEMORY, due, note)
    for lost_after in range(calls.calls):
        with pytest.raises(ProbeError):
            write_board(FakeProgrammer(FakeBoard(powered=True), unplug_at=lost_after), MEMORY, due, note)


def test_a_run_that_is_repeated_writes_nothing(give: Give, ask: Ask, board: FakeBoard) -> None:
    """What is there already is left alone, and nothing is noted: the board still is what it was."""
    assignment = give(ask())
    programmer = FakeProgrammer(board)
    write_board(programmer, MEMORY, contents(assignment), note)
    before = bytes(board.flash)
    again = write_board(programmer, MEMORY, contents(assignment), lambda: pytest.fail("it was noted"))
    assert not again.plan.changes
    assert again.bytes_verified == 304
    assert board.flash == before


def test_a_virgin_board_is_not_erased_and_an_interrupted_one_is(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """Who calls knows which of the two it is."""
    assert plan_board(programmer, MEMORY, IMAGE, trusted=True).erase == ()
    plan = plan_board(programmer, MEMORY, (IMAGE[0],), trusted=False)
    assert plan.erase == (Span(BASE, 0x800),)


class Moody(FakeProgrammer):
    """Its first flash session goes wrong in one way, the others do not."""

    def __init__(self, board: FakeBoard, error: Exception | None = None) -> None:
        super().__init__(board)
        self.error, self.sessions = error, list[Sequence[Span]]()

    def program(self, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False) -> None:
        """All of it; or the first segment's first words alone."""
        self.sessions.append(erase)
        if len(self.sessions) > 1:
            return super().program(erase, segments, mass_erase=mass_erase)
        super().program(erase, [Segment(segments[0].address, b"\x00" * 16)])
        if self.error is not None:
            raise self.error
        return None


@pytest.mark.parametrize(
    "error", [None, FlashRefused("the flash refused; reseat the board")], ids=["verify", "refused"]
)
def test_the_session_is_repeated_once_after_the_flash_failed(
    board: FakeBoard, give: Give, ask: Ask, error: Exception | None
) -> None:
    """The pages are erased and written again, and why is told."""
    assignment, programmer = give(ask()), Moody(board, error)
    board.program(Segment(MEMORY.nvm.start, endnode.encode(endnode.Counters(9, 1, 2, 3, 1))))
    written = write_board(programmer, MEMORY, contents(assignment), note, trusted=True)
    assert written.retries == (str(error or VerifyFailed(BASE + 1, 199)),)
    assert [len(pages) for pages in programmer.sessions] == [0, 3]
    assert content(board, Span(BASE, 200)) == IMAGE[0].data


def test_a_flash_that_refuses_twice_fails_the_board(board: FakeBoard, give: Give, ask: Ask) -> None:
    """Two sessions, not three; what was found is told with what is to be done now."""

    class Broken(Moody):
        def program(self, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False) -> None:
            self.sessions.append(erase)
            raise FlashRefused("the flash could not be erased at 0x08000000, wanted success; repeat once")

    programmer = Broken(board)
    with pytest.raises(FlashRefused) as caught:
        write_board(programmer, MEMORY, contents(give(ask())), note)
    assert len(programmer.sessions) == 2
    assert str(caught.value) == (
        "the flash could not be erased at 0x08000000, wanted success, also after its pages were erased and written "
        "once more; set this board aside"
    )


@pytest.mark.parametrize("error", [ProbeError("unplugged"), NvmDamaged("gone")], ids=["probe", "counters"])
def test_nothing_else_is_repeated(board: FakeBoard, give: Give, ask: Ask, error: Exception) -> None:
    """A lost probe says nothing of the flash, and harm that was done is not undone by another session."""
    programmer = Moody(board, error)
    with pytest.raises(type(error)):
        write_board(programmer, MEMORY, contents(give(ask())), note)
    assert len(programmer.sessions) == 1


def test_an_identity_page_that_was_to_be_kept_and_was_not_is_noticed(board: FakeBoard, give: Give, ask: Ask) -> None:
    """Whatever the tool did to it."""
    write_board(FakeProgrammer(board), MEMORY, contents(give(ask())), note)
    programmer = Careless(board)
    programmer.harm = lambda board: board.erase(IDENTITY)
    with pytest.raises(ForeignIdentity, match=r"identity page \(0x0803e800\.\.0x0803efff\) changed"):
        write_board(programmer, MEMORY, (Segment(BASE, b"other"),), note)


def test_a_checksum_that_is_wrong_once_is_settled_by_the_bytes(board: FakeBoard, give: Give, ask: Ask) -> None:
    """A span whose checksum differs is read back; when every byte is right, the board is."""

    class Doubtful(FakeProgrammer):
        def checksums(self, spans: Sequence[Span]) -> list[int | None]:
            sums = super().checksums(spans)
            return [1 if span.start == BASE and self.calls > 3 else crc for span, crc in zip(spans, sums, strict=True)]

    assert write_board(Doubtful(board), MEMORY, contents(give(ask())), note).retries == ()


def test_before_all_is_erased_what_is_lost_is_told(board: FakeBoard, give: Give, ask: Ask) -> None:
    """Counters, whose identity, and where else something was; no key; before the board has changed."""
    assignment = give(ask())
    assert assignment.to_write is not None
    write_board(FakeProgrammer(board), MEMORY, contents(assignment), note)
    used(board)
    board.torn.clear()
    board.program(Segment(0x0803E000, b"anything"))
    before, told = bytes(board.flash), list[tuple[Loss, bytes]]()
    written = write_board(
        FakeProgrammer(board),
        MEMORY,
        IMAGE,
        note,
        clear=True,
        about_to_lose=lambda loss: told.append((loss, bytes(board.flash))),
    )
    assert told == [(Loss(written.lost, 9), before)]
    assert written.lost == (
        f"identity page {IDENTITY}: DevEUI {assignment.dev_eui}, key generation 1",
        f"NVM region {MEMORY.nvm}: DevNonce 9, JoinNonce 1, FCntUp 2, FCntDown 3",
        "unlisted memory 0x0803e000..0x0803e7ff: not known what it held",
    )
    assert content(board, MEMORY.nvm) == b"\xff" * MEMORY.nvm.size


def test_what_cannot_be_read_is_lost_under_its_name(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """A damaged block, and counters that nobody can decode."""
    board.program(Segment(IDENTITY.start, b"no block"))
    board.program(Segment(MEMORY.nvm.start, b"no counter record at all, 32 byte"[:32]))
    written = write_board(programmer, MEMORY, IMAGE, note, clear=True)
    assert [text.partition(": ")[2] for text in written.lost] == [
        "no whole identity block",
        "counters that cannot be read",
    ]


def test_an_erase_of_all_is_told_even_when_nothing_is_lost(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """It takes the blank counter region along, and a power cut in it leaves that unreadable: the ledger must know."""
    told = list[Loss]()
    many = (Segment(BASE, bytes(range(256)) * 40),)
    written = write_board(programmer, MEMORY, many, note, about_to_lose=told.append)
    assert written.plan.mass_erase
    assert told == [Loss((), None)]
