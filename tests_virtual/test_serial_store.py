"""The serial store against real firmware on the emulated core: every dialect, and the lies that its modem tells."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from intelhex import IntelHex

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BlockState
from lorafab.domain.secret import Secret
from lorafab.drivers.serial_link import SerialLink
from lorafab.errors import DutError, ForeignIdentity, ShellError
from lorafab.interfaces import Claim
from lorafab.steps.dialects import DIALECTS
from lorafab.steps.identity import Assignment
from lorafab.steps.keys import check_store
from lorafab.steps.modem import Modem
from lorafab.steps.serial_store import SerialStore
from lorafab.virtual import chips
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.faults import FaultPlan
from tests_virtual.test_firmware_on_board import install
from tests_virtual.test_line import Bench as Line

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
FLASH, PAGE, PAGE_NUMBER = 0x08000000, 0x0803E800, 125
PRODUCTS = {
    "lorafab": "endnode-wle5-serial",
    "st-at-slave": "modem-st",
    "rui3": "modem-rui3",
    "lora-e5": "modem-e5",
    "rn2483": "modem-rn2483",
    "abz": "modem-abz",
}
LOTS = {
    "lorafab": "demo-serial",
    "st-at-slave": "demo-st",
    "rui3": "demo-rui3",
    "lora-e5": "demo-e5",
    "rn2483": "demo-rn2483",
    "abz": "demo-abz",
}
READABLE = ("lorafab", "st-at-slave", "rui3", "abz")
KEY = bytes.fromhex("8CD66A7B3DEA8E3AC2E5FD0F9B11724E")
IDENTITY = Identity(
    "LA00000001", Eui64(0x024C464200100001), Eui64(0x00005EEF10000001), Secret(KEY), None, 1, 5, "demo-st"
)
CLAIM = Claim(IDENTITY.dev_eui, "reserved", (), 0, None, 1, None, None)
WANTED = Assignment(
    IDENTITY.dev_eui, IDENTITY.join_eui, IDENTITY.serial, 1, IDENTITY.app_key.kcv(), None, CLAIM, IDENTITY
)
TIMEOUT_S = 5.0  # wall clock, for a busy computer


class Bench:
    """One board with a dialect's firmware, and the store at its serial port."""

    def __init__(self, folder: Path, dialect: str, faults: str = "", *, lorawan_1_1: bool = False) -> None:
        self.path = folder / "dut.board"
        BoardFile(self.path, chips.named("wle5")).close()
        image = IntelHex(str(FIRMWARE / PRODUCTS[dialect] / f"{PRODUCTS[dialect]}.hex"))
        install(self.path, FLASH, image.tobinstr(start=FLASH))
        self.board = Board.open(self.path, uart_link=folder / "uart", faults=FaultPlan.parse(faults))
        self.link = SerialLink(str(folder / "uart"), 115200)
        self.link.open()
        self.modem = Modem(self.link, DIALECTS[dialect], TIMEOUT_S, lambda: None)
        self.store = SerialStore(self.modem, self.restart, lorawan_1_1=lorawan_1_1)
        self.factory = self.store.look()

    def restart(self) -> None:
        """Cut the power: nothing that was only in RAM is left."""
        self.board.power(False)
        self.board.power(True)

    def close(self) -> None:
        """Take the board out. Nothing was asked of the chip that it does not have."""
        self.link.close()
        complaints = self.board.complaints
        self.board.close()
        assert complaints == []

    def until(self, *ends: str) -> list[str]:
        """Lines up to the one that matches one of these patterns."""
        lines: list[str] = []
        while not lines or not any(re.fullmatch(end, lines[-1]) for end in ends):
            raw = self.link.read_line(TIMEOUT_S)
            assert raw is not None, f"nothing came after {lines}"
            lines.append(raw.decode("ascii").strip())
        return lines


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Boards that are taken out again."""
    with contextlib.ExitStack() as stack:

        def make(dialect: str, faults: str = "", **options: bool) -> Bench:
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            made = Bench(folder, dialect, faults, **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("dialect", PRODUCTS)
def test_real_firmware_takes_an_identity_and_has_it_after_a_power_cut(
    bench: Callable[..., Bench], dialect: str
) -> None:
    """The key lies in the board's flash, the board says what it can, and the transcript shows no four bytes of it."""
    made = bench(dialect)
    assert made.factory.state is (BlockState.BLANK if dialect in ("lorafab", "rn2483") else BlockState.VALID)
    made.store.write(IDENTITY)
    assert check_store(made.store, WANTED) == ("read back" if dialect in READABLE else "asserted")
    page = made.path.read_bytes()[PAGE - FLASH : PAGE - FLASH + 0x800]
    assert KEY in page
    assert IDENTITY.dev_eui.to_bytes() in page
    digits = re.sub("[^0-9A-F]", "", made.link.transcript().upper())
    assert not any(KEY[at : at + 4].hex().upper() in digits for at in range(13))


@pytest.mark.parametrize("dialect", ["lorafab", "st-at-slave", "abz"])
def test_real_firmware_takes_both_keys_of_lorawan_1_1(bench: Callable[..., Bench], dialect: str) -> None:
    """Each into its own slot, and both are read back."""
    made = bench(dialect, lorawan_1_1=True)
    nwk = Secret(bytes.fromhex("F0E1D2C3B4A5968778695A4B3C2D1E0F"))
    made.store.write(replace(IDENTITY, nwk_key=nwk))
    assert check_store(made.store, replace(WANTED, kcv_nwk=nwk.kcv())) == "read back"
    with pytest.raises(ForeignIdentity, match=f"says NwkKey check value '{nwk.kcv()}', wanted '-'"):
        check_store(made.store, WANTED)


@pytest.mark.parametrize("byte", [40, 70, 95, 120, 160, 200, 230])
def test_a_byte_lost_on_the_way_is_never_a_board_that_passes(bench: Callable[..., Bench], byte: int) -> None:
    """ST takes a number with a digit too few as it takes one with a digit too many; the store does not."""
    made = bench("st-at-slave", f"uart=drop@host_byte:{byte}")
    refused = False
    try:
        made.store.write(IDENTITY)
        check_store(made.store, WANTED)
    except DutError:
        refused = True
    page = made.path.read_bytes()[PAGE - FLASH : PAGE - FLASH + 0x800]
    right = page.count(KEY) == 2 and IDENTITY.dev_eui.to_bytes() + IDENTITY.join_eui.to_bytes() in page
    assert refused != right


@pytest.mark.parametrize("dialect", PRODUCTS)
def test_a_page_that_takes_nothing_is_found_whatever_the_modem_says(bench: Callable[..., Bench], dialect: str) -> None:
    """Two of the six say so; the others answer as if all were well, and lose everything with their power."""
    made = bench(dialect, f"wrp={PAGE_NUMBER}")
    if dialect in ("lorafab", "rui3"):
        with pytest.raises(ShellError, match=r"with ('AT_ERROR'|'ERR .*)"):
            made.store.write(IDENTITY)
        return
    made.store.write(IDENTITY)
    with pytest.raises(
        ForeignIdentity, match=f"says DevEUI '[0-9A-F]+', wanted '{IDENTITY.dev_eui}|has LoRaMac-node's"
    ):
        check_store(made.store, WANTED)


@pytest.mark.parametrize(
    ("dialect", "store"), [("st-at-slave", "AT+CS"), ("rn2483", "mac save"), ("lorafab", "SET commit")]
)
def test_what_is_not_stored_is_gone(bench: Callable[..., Bench], dialect: str, store: str) -> None:
    """Every answer was OK; the store sees the board as it came."""
    made = bench(dialect)
    for exchange in DIALECTS[dialect].commands(IDENTITY):
        if exchange.command != store:
            made.modem.ask_all([exchange])
    assert made.store.look().held == made.factory.held
    with pytest.raises(DutError):
        check_store(made.store, WANTED)


@pytest.mark.parametrize("dialect", READABLE)
def test_a_board_that_got_all_but_its_key_is_refused(bench: Callable[..., Bench], dialect: str) -> None:
    """As when power or cable were lost in between: DevEUI and JoinEUI are right, and the key is the default or none."""
    made = bench(dialect)
    with contextlib.suppress(ShellError):  # our own shell refuses to commit a part
        made.modem.ask_all([one for one in DIALECTS[dialect].commands(IDENTITY) if one.key is None])
    with pytest.raises(
        ForeignIdentity, match=r"on the board has (LoRaMac|the key of RUI3)|firmware has no identity \(blank"
    ):
        check_store(made.store, WANTED)


def test_a_byte_that_sticks_in_the_settings_of_rui3_turns_all_of_them_to_zeros(bench: Callable[..., Bench]) -> None:
    """A set of values that is no longer valid is dropped as a whole; the board is blank, and refused."""
    made = bench("rui3")
    made.store.write(IDENTITY)
    made.close()
    at = made.path.read_bytes().index(IDENTITY.dev_eui.to_bytes(), PAGE - FLASH)
    with made.path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff")
    folder = made.path.parent
    made.board = Board.open(made.path, uart_link=folder / "uart", faults=FaultPlan.parse(""))
    made.link.open()
    assert made.store.look().state is BlockState.BLANK
    with pytest.raises(ForeignIdentity, match="has a key of bytes 00 only, wanted the one that it was given"):
        check_store(made.store, WANTED)


def test_st_takes_the_text_behind_a_number_and_is_found_out(bench: Callable[..., Bench]) -> None:
    """It answers OK to a DevEUI with a digit too many; what it made of it is not what was sent."""
    made = bench("st-at-slave")
    made.store.write(IDENTITY)
    made.link.write(b"AT+DEUI=02:4C:46:42:00:10:00:0142 and more\r\n")
    assert made.until("OK|AT_.*")[-1] == "OK"
    made.link.write(b"AT+CS\r\n")
    made.until("OK")
    with pytest.raises(ForeignIdentity, match="says DevEUI '024C464200100042', wanted '024C464200100001'"):
        check_store(made.store, WANTED)


def test_a_key_that_abz_locked_is_only_asserted(bench: Callable[..., Bench]) -> None:
    """Nothing is wrong with the board, and nothing is proven."""
    made = bench("abz")
    made.store.write(IDENTITY)
    made.link.write(b"AT$LOCKKEYS\r\n")
    made.until(r"\+OK")
    assert check_store(made.store, WANTED) == "asserted"


JOIN_NS = 9_000_000_000  # a join-request at DR0 and its two windows take 7.7 s
JOINS = {
    "st-at-slave": ("AT+JOIN=1", r"\+EVT:.*"),
    "rui3": ("AT+JOIN=1:0:10:0", r"\+EVT:.*"),
    "lora-e5": ("AT+JOIN", r"\+JOIN: Done"),
    "rn2483": ("mac join otaa", "denied|accepted"),
    "abz": ("AT+JOIN 0,1", r"\+EVENT=1,.*"),
}


@pytest.mark.parametrize("dialect", JOINS)
def test_a_join_that_nobody_answers_has_failed_and_not_before_the_modem_says_so(
    bench: Callable[..., Bench], dialect: str
) -> None:
    """OK, ok, +OK and Done are no result."""
    made = bench(dialect)
    made.store.write(IDENTITY)
    made.store.look()
    command, end = JOINS[dialect]
    made.link.write(command.encode() + b"\r\n")
    lines = made.until(".*(OK|ok|Start)")
    made.board.advance(JOIN_NS)
    lines += made.until(end)
    speak = DIALECTS[dialect].join_result
    assert speak(lines) == "failed"
    results = [speak(lines[: count + 1]) for count in range(len(lines))]
    assert results == sorted(results, reverse=True), "unknown first, failed then"
    assert results[0] == "unknown"


@pytest.mark.parametrize("dialect", PRODUCTS)
def test_the_line_makes_a_board_of_each_product(tmp_path: Path, dialect: str) -> None:
    """As its user runs it; the record has the evidence, the dialect's whole conversation, and no key."""
    line = Line(tmp_path)
    result = line.run(f"--lot={LOTS[dialect]}")
    assert result.status == 0, result.text
    record = result.record
    assert record["keys"]["evidence"] == ("read back" if dialect in READABLE else "asserted")
    sent = "\n".join(record["transcript"])
    name = {
        "st-at-slave": "LoRaMac-node's default key",
        "abz": "LoRaMac-node's default key",
        "rui3": "the key of RUI3's",
    }
    came_with = [f"the board came with {name[dialect]}"] if dialect in name else []
    assert [found[: len(text)] for found, text in zip(record["findings"], came_with, strict=True)] == came_with
    assert all(f"note: {text}" in result.text for text in came_with)
    for exchange in DIALECTS[dialect].questions(lorawan_1_1=False):
        assert f"> {exchange.command}" in sent
    page = line.flash("b1")[PAGE - FLASH : PAGE - FLASH + 0x800]
    digits = re.sub("[^0-9A-F]", "", (result.text + sent).upper())
    assert Eui64.parse(record["dev_eui"]).to_bytes() in page
    held = [
        page[at : at + 16]
        for at in range(len(page) - 15)
        if Secret(page[at : at + 16]).kcv() == record["keys"]["kcv_app"]
    ]
    assert held, "the key is in the board"
    assert not any(held[0][at : at + 4].hex().upper() in digits for at in range(13))
