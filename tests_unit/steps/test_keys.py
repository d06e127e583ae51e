"""lorafab.steps.keys: the block on the board and the firmware both say who the board is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64
from lorafab.domain.memory_map import Segment
from lorafab.domain.provisioning import Evidence, Held
from lorafab.domain.secret import Secret
from lorafab.errors import ForeignIdentity, LinkSilent, ShellError
from lorafab.interfaces import ClaimRequest
from lorafab.steps.identity import Assignment, Wanted, assign
from lorafab.steps.identity_page import PageStore
from lorafab.steps.keys import check_firmware, check_store
from lorafab.steps.shell import Shell
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.fakes import IDENTITY, MEMORY, FakeBoard, FakeProgrammer

OTHER_KEY = Secret(bytes.fromhex("D1A7304E5B9C62F8037E41BDA6C9158F"))


@pytest.fixture
def assignment(board: FakeBoard, give: Callable[..., Assignment], ask: Callable[..., ClaimRequest]) -> Assignment:
    """What the board was given, and holds."""
    given = give(ask())
    assert given.to_write is not None
    board.program(Segment(IDENTITY.start, identity_block.encode(given.to_write)))
    return given


def test_the_block_on_the_board_is_compared(programmer: FakeProgrammer, assignment: Assignment) -> None:
    """What was read back is what was assigned."""
    check_store(PageStore(programmer, MEMORY), assignment)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dev_eui": Eui64(1)}, "says DevEUI '0000000000000001', wanted '024C464200000001'"),
        ({"join_eui": Eui64(2)}, "says JoinEUI '0000000000000002', wanted '00005EEF10000001'"),
        ({"serial": "LF9"}, "says serial 'LF9', wanted 'LF00000001'"),
        ({"generation": 2}, "says key generation '2', wanted '1'"),
        ({"app_key": OTHER_KEY}, f"says key check value '{OTHER_KEY.kcv()}', wanted"),
    ],
    ids=str,
)
def test_each_difference_in_the_block_is_named(
    board: FakeBoard, programmer: FakeProgrammer, assignment: Assignment, change: dict[str, object], sentence: str
) -> None:
    """Found and wanted, the key by its check value only."""
    assert assignment.to_write is not None
    board.erase(IDENTITY)
    wrong = replace(assignment.to_write, **change)  # type: ignore[arg-type]
    board.program(Segment(IDENTITY.start, identity_block.encode(wrong)))
    with pytest.raises(ForeignIdentity) as caught:
        check_store(PageStore(programmer, MEMORY), assignment)
    assert f"the identity on the board {sentence}" in str(caught.value)
    for key in (OTHER_KEY, assignment.to_write.app_key):
        assert key.reveal().hex().upper() not in str(caught.value).upper()


@pytest.fixture
def assignment_1_1(
    board: FakeBoard, programmer: FakeProgrammer, ledger: TinyLedger, vault: Vault, wanted: Wanted,
    ask: Callable[..., ClaimRequest],
) -> Assignment:  # fmt: skip
    """A LoRaWAN 1.1 board."""
    both = replace(wanted, slots=("appkey", "nwkkey"))
    given = assign(PageStore(programmer, MEMORY).look(), ask(), both, ledger, vault, permit=False)
    assert given.to_write is not None
    board.program(Segment(IDENTITY.start, identity_block.encode(given.to_write)))
    return given


def test_both_keys_of_a_1_1_board_are_compared(
    board: FakeBoard, programmer: FakeProgrammer, shell: Shell, assignment_1_1: Assignment
) -> None:
    """In the block and in what the firmware says; a difference is named by check values."""
    check_store(PageStore(programmer, MEMORY), assignment_1_1)
    assert check_firmware(shell, assignment_1_1) == assignment_1_1.kcv_app
    assert assignment_1_1.to_write is not None
    for nwk, said in ((OTHER_KEY, OTHER_KEY.kcv()), (None, "-")):
        board.erase(IDENTITY)
        block = identity_block.encode(replace(assignment_1_1.to_write, nwk_key=nwk))
        board.program(Segment(IDENTITY.start, block))
        words = f"NwkKey check value '{said}', wanted '{assignment_1_1.kcv_nwk}'"
        with pytest.raises(ForeignIdentity, match=f"the identity on the board says {words}"):
            check_store(PageStore(programmer, MEMORY), assignment_1_1)
        with pytest.raises(ForeignIdentity, match=f"the firmware says kcv_nwk '{said}'"):
            check_firmware(shell, assignment_1_1)


def test_a_nwk_key_on_a_1_0_board_is_refused(
    board: FakeBoard, programmer: FakeProgrammer, shell: Shell, assignment: Assignment
) -> None:
    """A network of LoRaWAN 1.0.x would never hear of it."""
    assert assignment.to_write is not None
    board.erase(IDENTITY)
    board.program(Segment(IDENTITY.start, identity_block.encode(replace(assignment.to_write, nwk_key=OTHER_KEY))))
    with pytest.raises(ForeignIdentity, match=f"says NwkKey check value '{OTHER_KEY.kcv()}', wanted '-'"):
        check_store(PageStore(programmer, MEMORY), assignment)
    with pytest.raises(ForeignIdentity, match=f"says kcv_nwk '{OTHER_KEY.kcv()}', wanted '-'"):
        check_firmware(shell, assignment)


@pytest.mark.parametrize("slot", ["app_key", "nwk_key"])
@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("2B7E151628AED2A6ABF7158809CF4F3C", "LoRaMac-node's default key"),
        ("AC1F09FFFE1302CEAC1F09FFF9153172", "the key of RUI3's example"),
        ("FF" * 16, "a key of bytes FF only"),
    ],
)
def test_a_weak_key_that_is_read_back_is_named(
    board: FakeBoard, programmer: FakeProgrammer, assignment: Assignment, slot: str, key: str, name: str
) -> None:
    """Whoever reads the sentence knows where to look."""
    assert assignment.to_write is not None
    board.erase(IDENTITY)
    weak = replace(assignment.to_write, **{slot: Secret(bytes.fromhex(key))})  # type: ignore[arg-type]
    board.program(Segment(IDENTITY.start, identity_block.encode(weak)))
    with pytest.raises(
        ForeignIdentity, match=f"the identity on the board has {name}, wanted the one that it was given"
    ):
        check_store(PageStore(programmer, MEMORY), assignment)


def test_a_page_without_a_whole_block_is_refused(
    board: FakeBoard, programmer: FakeProgrammer, assignment: Assignment
) -> None:
    """Torn or erased, the sentence says which."""
    board.torn.add(IDENTITY.start + 24)
    with pytest.raises(ForeignIdentity, match="reads damaged, wanted a whole block"):
        check_store(PageStore(programmer, MEMORY), assignment)
    board.erase(IDENTITY)
    with pytest.raises(ForeignIdentity, match="reads blank"):
        check_store(PageStore(programmer, MEMORY), assignment)


def test_the_firmware_answers_with_the_check_value_that_it_computed(shell: Shell, assignment: Assignment) -> None:
    """The proof that the firmware sees the key."""
    assert check_firmware(shell, assignment) == assignment.kcv_app


@pytest.mark.parametrize("field", ["dev_eui", "join_eui", "serial", "generation"])
@pytest.mark.parametrize("said", ["something else", None])
def test_each_thing_that_the_firmware_says_wrong_or_not_is_named(
    board: FakeBoard, shell: Shell, assignment: Assignment, field: str, said: str | None
) -> None:
    """An answer without the field is as bad as a wrong one."""
    answer = board.answer("ID?")
    kept = [line for line in answer if not line.startswith(field + "=")]
    board.answers["ID?"] = ([] if said is None else [f"{field}={said}"]) + kept
    with pytest.raises(ForeignIdentity, match=f"the firmware says {field} '{said or 'nothing'}', wanted '"):
        check_firmware(shell, assignment)


@pytest.mark.parametrize("said", ["0011223344556677", None])
def test_another_check_value_is_given_to_the_test_to_judge(
    board: FakeBoard, shell: Shell, assignment: Assignment, said: str | None
) -> None:
    """It is a measurement: the report shows it as one that failed."""
    kept = [line for line in board.answer("ID?") if not line.startswith("kcv_app=")]
    board.answers["ID?"] = ([] if said is None else [f"kcv_app={said}"]) + kept
    assert check_firmware(shell, assignment) == (said or "nothing")


def test_firmware_without_an_identity_is_the_boards_fault(
    board: FakeBoard, shell: Shell, assignment: Assignment
) -> None:
    """It answers ERR, and its sentence is shown."""
    board.erase(IDENTITY)
    with pytest.raises(ShellError, match="ERR no identity: blank"):
        check_firmware(shell, assignment)


def test_silent_firmware_is_told_apart(board: FakeBoard, shell: Shell, assignment: Assignment) -> None:
    """No line at all is LinkSilent."""
    board.silent = True
    with pytest.raises(LinkSilent, match=r"no line for 0\.5 s after ID\?"):
        check_firmware(shell, assignment)


def test_a_store_that_read_no_key_back_does_not_pass_as_one_that_did(
    programmer: FakeProgrammer, assignment: Assignment
) -> None:
    """What it does not say is otherwise not compared; the key it owes."""

    class Forgetful(PageStore):
        def read_back(self) -> tuple[Held, Evidence]:
            held, evidence = super().read_back()
            return replace(held, kcv_app=None), evidence

    with pytest.raises(ForeignIdentity, match=f"says key check value 'None', wanted '{assignment.kcv_app}'"):
        check_store(Forgetful(programmer, MEMORY), assignment)
