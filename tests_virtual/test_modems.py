"""The committed modem images on the virtual board: each dialect says what its sources say, lies included.

The sources, and what is unverified, stand in firmware/modem/README.md. That the line sees through the lies is shown in
test_serial_store.py; here is only shown that they are told.
"""

import importlib
import string
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import serial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.nvm import endnode
from lorafab.domain.secret import Secret
from lorafab.virtual import chips
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.faults import FaultPlan
from tests_virtual.test_firmware_on_board import (
    FLASH,
    IDENTITY,
    NVM,
    NVM_SIZE,
    REPLY_TIMEOUT_S,
    SRAM,
    SRAM_SIZE,
    flash_of,
    install,
)

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
CHIP = chips.named("wle5")
PAGE_FAULT = "wrp=125"  # the page of the settings, 0x0803E800
JOIN_S = 7.7

DEV_EUI = "024C464200100001"
JOIN_EUI = "00005EEF10000001"
KEY = "8F3A00D15C7B64E29101FEC3AB55774D"
DEFAULT_KEY = "2B7E151628AED2A6ABF7158809CF4F3C"


def colons(digits: str) -> str:
    """As ST writes bytes."""
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def image(product: str) -> bytes:
    """The image as it lies in flash from 0x08000000 on."""
    intelhex: Any = importlib.import_module("intelhex")  # shipped without type information
    data = intelhex.IntelHex(str(FIRMWARE / product / f"{product}.hex")).tobinstr(start=FLASH)
    assert isinstance(data, bytes)
    return data


@dataclass
class Bench:
    """One board with a modem in it, and a terminal on its serial port."""

    path: Path
    link: Path
    product: str
    board: Board | None = None
    terminal: serial.Serial | None = None

    def start(self, faults: str = "") -> "Bench":
        """Power the board."""
        self.board = Board.open(self.path, uart_link=self.link, faults=FaultPlan.parse(faults))
        self.terminal = serial.Serial(str(self.link), 115200, timeout=REPLY_TIMEOUT_S)
        self._power_on()
        return self

    def _power_on(self) -> None:
        assert self.board is not None
        self.board.power(True)
        self.warp(0.02)  # what is sent before the firmware listens is lost, and not every modem says that it does

    def stop(self) -> None:
        """Power off and release the file."""
        if self.terminal is not None:
            self.terminal.close()
        if self.board is not None:
            complaints = self.board.complaints
            self.board.close()
            assert complaints == [], "the firmware asked for something that the chip does not have"
        self.board = self.terminal = None

    def restart(self) -> None:
        """Cut the power and switch it on again; what the modem had still to say is lost."""
        assert self.board is not None
        assert self.terminal is not None
        self.board.power(False)
        self.terminal.reset_input_buffer()
        self._power_on()

    def reopen(self, faults: str = "") -> None:
        """The same board in another session, with other faults."""
        self.stop()
        self.start(faults)

    def warp(self, seconds: float) -> None:
        """Let simulated time pass at once."""
        assert self.board is not None
        self.board.advance(int(seconds * 1e9))

    def hush(self) -> None:
        """Let the modem finish what it has to say, and drop it."""
        assert self.terminal is not None
        self.warp(0.05)
        self.terminal.reset_input_buffer()

    def send(self, command: str) -> None:
        assert self.terminal is not None
        self.terminal.write(command.encode() + b"\r\n")

    def line(self) -> str:
        """The next line that is not empty."""
        assert self.terminal is not None
        while True:
            raw = self.terminal.readline()
            assert raw.endswith(b"\r\n"), f"no whole line within {REPLY_TIMEOUT_S} s, but {raw!r}"
            if raw != b"\r\n":
                return raw[:-2].decode("ascii")

    def until(self, last: str) -> list[str]:
        """Lines up to this one."""
        lines = [self.line()]
        while lines[-1] != last:
            lines.append(self.line())
        return lines

    def ask(self, command: str, lines: int = 1) -> list[str]:
        """Send a command; the next lines."""
        self.send(command)
        return [self.line() for _ in range(lines)]

    def dev_nonce(self) -> int:
        """As the NVM region has it, read from the closed board's file."""
        counters = endnode.decode(flash_of(self.path, NVM, NVM_SIZE)).counters
        assert counters is not None
        return counters.dev_nonce


Open = Callable[..., Bench]


@pytest.fixture
def modem(tmp_path: Path) -> Iterator[Open]:
    """Make a bench: ``modem("modem-st")`` or ``modem("modem-st", faults)``."""
    made: list[Bench] = []

    def make(product: str, faults: str = "") -> Bench:
        bench = Bench(tmp_path / "dut.board", tmp_path / "uart", product)
        BoardFile(bench.path, CHIP).close()
        install(bench.path, FLASH, image(product))
        made.append(bench)
        return bench.start(faults)

    yield make
    for bench in made:
        bench.stop()


# --- ST AT_Slave ---

ST_READY = "AT? to list all available functions"


def st_modem(modem: Open, faults: str = "") -> Bench:
    bench = modem("modem-st", faults)
    bench.until(ST_READY)
    return bench


def st_value(bench: Bench, name: str) -> str:
    value, status = bench.ask(f"AT+{name}=?", 2)
    assert status == "OK"
    return value


def st_provision(bench: Bench) -> None:
    for command in (
        f"AT+DEUI={colons(DEV_EUI)}",
        f"AT+APPEUI={colons(JOIN_EUI)}",
        f"AT+NWKKEY={colons(KEY)}",
        f"AT+APPKEY={colons(KEY)}",
    ):
        assert bench.ask(command) == ["OK"]


def test_st_shows_its_keys_after_every_reset(modem: Open) -> None:
    """KEY_EXTRACTABLE 1 and the default trace level: whoever listens while the board starts has both root keys."""
    bench = modem("modem-st")
    lines = bench.until(ST_READY)
    assert lines[0] == "APPLICATION_VERSION: V1.3.1"
    assert f"###### AppKey:      {colons(DEFAULT_KEY)}" in lines
    st_provision(bench)
    assert bench.ask("AT+CS", 2) == ["NVM DATA STORED", "OK"]
    bench.restart()
    assert {f"###### {name}:      {colons(KEY)}" for name in ("AppKey", "NwkKey")} <= set(bench.until(ST_READY))
    assert st_value(bench, "NWKKEY") == colons(KEY)


def test_st_comes_with_the_chips_eui_and_a_key_that_everybody_knows(modem: Open) -> None:
    bench = st_modem(modem)
    assert st_value(bench, "DEUI").startswith("00:80:E1:15:")
    assert st_value(bench, "APPEUI") == colons("01" * 8)
    assert st_value(bench, "APPKEY") == st_value(bench, "NWKKEY") == colons(DEFAULT_KEY)


def test_st_keeps_nothing_without_at_cs(modem: Open) -> None:
    bench = st_modem(modem)
    st_provision(bench)
    assert st_value(bench, "DEUI") == colons(DEV_EUI)
    bench.restart()
    bench.until(ST_READY)
    assert st_value(bench, "NWKKEY") == colons(DEFAULT_KEY)
    st_provision(bench)
    assert bench.ask("AT+CS", 2) == ["NVM DATA STORED", "OK"]
    assert bench.ask("AT+CS", 2) == ["NVM DATA UP TO DATE", "OK"]
    bench.restart()
    bench.until(ST_READY)
    assert [st_value(bench, name) for name in ("DEUI", "APPEUI", "NWKKEY", "APPKEY")] == [
        colons(digits) for digits in (DEV_EUI, JOIN_EUI, KEY, KEY)
    ]


@pytest.mark.parametrize("fault", [PAGE_FAULT, f"stuck_bit={IDENTITY + 4:#x}.1=0"])
def test_st_says_stored_and_ok_although_the_flash_kept_nothing(modem: Open, fault: str) -> None:
    """OnStoreContextRequest returns nothing: write protection and stuck bits look like success."""
    bench = st_modem(modem, fault)
    st_provision(bench)
    assert bench.ask("AT+CS", 2) == ["NVM DATA STORED", "OK"]
    bench.restart()
    bench.until(ST_READY)
    assert st_value(bench, "NWKKEY") == colons(DEFAULT_KEY)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (f"{colons(DEV_EUI)}garbage", DEV_EUI),
        (f"{colons(DEV_EUI)}:FF", DEV_EUI),
        ("2:4c:46:42:0:10:0:1", DEV_EUI),
        ("102:4C:46:42:00:10:00:F01", DEV_EUI),
    ],
)
def test_st_takes_a_dev_eui_that_is_none(modem: Open, sent: str, kept: str) -> None:
    """Eight times %hhx: text behind it is not looked at, and of each number the lowest eight bits count."""
    bench = st_modem(modem)
    assert bench.ask(f"AT+DEUI={sent}") == ["OK"]
    assert st_value(bench, "DEUI") == colons(kept)


@pytest.mark.parametrize("sent", [DEV_EUI, "02:4C:46:42:00:10:00", "02:4C:46:42:00:10:00:x", ""])
def test_st_refuses_what_is_no_eight_numbers(modem: Open, sent: str) -> None:
    bench = st_modem(modem)
    before = st_value(bench, "DEUI")
    assert bench.ask(f"AT+DEUI={sent}") == ["AT_PARAM_ERROR"]
    assert st_value(bench, "DEUI") == before


def test_st_answers_what_it_does_not_know_with_errors(modem: Open) -> None:
    bench = st_modem(modem)
    for command in ("at", "ID?", "AT+FOO", "AT+JOIN=?", "AT+CS=1"):
        assert bench.ask(command) == ["AT_PARAM_ERROR" if "JOIN" in command else "AT_ERROR"]
    assert bench.ask("AT+DEUI=" + "0" * 200) == ["AT_TEST_PARAM_OVERFLOW"]
    assert bench.ask("AT") == ["OK"]


def test_st_says_ok_to_a_join_whatever_comes_of_it(modem: Open) -> None:
    """Two joins are accepted, one is made, and that one fails; its DevNonce is in RAM until AT+CS."""
    bench = st_modem(modem)
    assert bench.ask("AT+JOIN=1") == ["OK"]
    assert bench.ask("AT+JOIN=1") == ["OK"]
    assert bench.ask(f"AT+DEUI={colons(DEV_EUI)}") == ["AT_ERROR"], "the MAC is busy"
    bench.warp(JOIN_S)
    assert bench.line() == "+EVT:JOIN FAILED"
    bench.warp(JOIN_S)
    assert bench.ask("AT") == ["OK"], "no second event stands before it"
    bench.stop()
    assert bench.dev_nonce() == 0
    bench.start()
    bench.until(ST_READY)
    bench.ask("AT+JOIN=1")
    bench.warp(JOIN_S)
    assert bench.line() == "+EVT:JOIN FAILED"
    assert bench.ask("AT+CS", 2) == ["NVM DATA STORED", "OK"]
    bench.stop()
    assert bench.dev_nonce() == 1


def test_st_gives_a_join_up_for_at_cs_and_tells_nobody(modem: Open) -> None:
    """LmHandlerNvmDataStore halts the MAC first: OK, and no event ever."""
    bench = st_modem(modem)
    st_provision(bench)
    assert bench.ask("AT+JOIN=1") == ["OK"]
    assert bench.ask("AT+CS", 2) == ["NVM DATA STORED", "OK"]
    bench.warp(2 * JOIN_S)
    assert bench.ask("AT") == ["OK"]


def test_st_says_ok_to_at_rfs_only_when_it_failed(modem: Open) -> None:
    """A reset when the erase worked, which also takes the DevNonce; OK when the flash refused."""
    bench = st_modem(modem)
    st_provision(bench)
    bench.ask("AT+JOIN=1")
    bench.warp(JOIN_S)
    bench.line()
    bench.ask("AT+CS", 2)
    bench.stop()
    assert bench.dev_nonce() == 1
    bench.start(PAGE_FAULT)
    bench.until(ST_READY)
    assert bench.ask("AT+RFS") == ["OK"]
    assert st_value(bench, "DEUI") == colons(DEV_EUI)
    bench.reopen()
    bench.until(ST_READY)
    bench.send("AT+RFS")
    assert bench.until(ST_READY)[0] == "APPLICATION_VERSION: V1.3.1"
    assert st_value(bench, "NWKKEY") == colons(DEFAULT_KEY)
    bench.stop()
    assert bench.dev_nonce() == 0


# --- RAK RUI3 ---

RUI3_READY = "Current Work Mode: LoRaWAN."


def rui3_modem(modem: Open, faults: str = "") -> Bench:
    bench = modem("modem-rui3", faults)
    assert bench.until(RUI3_READY)[0] == "RAKwireless RAK3172-E Example"
    return bench


def rui3_values(bench: Bench) -> list[str]:
    values = []
    for name in ("DEVEUI", "APPEUI", "APPKEY"):
        value, status = bench.ask(f"AT+{name}=?", 2)
        assert status == "OK"
        values.append(value.removeprefix(f"AT+{name}="))
    return values


def test_rui3_stores_each_value_at_once_and_shows_the_key(modem: Open) -> None:
    bench = rui3_modem(modem)
    dev_eui, join_eui, key = rui3_values(bench)
    assert dev_eui.startswith("AC1F09FFFE")
    assert key == "AC1F09FFFE1302CE" + join_eui, "the key of RAK's example"
    assert bench.ask(f"at+deveui={DEV_EUI.lower()}") == ["OK"]
    assert bench.ask(f"AT+APPEUI={JOIN_EUI}") == ["OK"]
    assert bench.ask(f"AT+APPKEY={KEY}") == ["OK"]
    bench.restart()
    bench.until(RUI3_READY)
    assert rui3_values(bench) == [DEV_EUI, JOIN_EUI, KEY]
    bench.send("ATR")
    bench.until(RUI3_READY)
    assert rui3_values(bench) == [dev_eui, join_eui, key]


@pytest.mark.parametrize("value", [colons(DEV_EUI), DEV_EUI + "0", DEV_EUI[:-1], DEV_EUI[:-1] + "x", ""])
def test_rui3_takes_exactly_the_digits(modem: Open, value: str) -> None:
    bench = rui3_modem(modem)
    before = rui3_values(bench)
    assert bench.ask(f"AT+DEVEUI={value}") == ["AT_PARAM_ERROR"]
    assert rui3_values(bench) == before


def test_rui3_settings_turn_to_zeros_when_power_fails_while_one_is_stored(modem: Open) -> None:
    """What users have seen: not the old values, not those of the factory, but zeros, and they stay."""
    bench = rui3_modem(modem)
    for command in (f"AT+DEVEUI={DEV_EUI}", f"AT+APPEUI={JOIN_EUI}"):
        assert bench.ask(command) == ["OK"]
    bench.reopen(f"power_cut_at={IDENTITY + 8:#x}")
    bench.until(RUI3_READY)
    bench.send(f"AT+APPKEY={KEY}")
    assert bench.board is not None
    deadline = time.monotonic() + REPLY_TIMEOUT_S
    while bench.board.powered and time.monotonic() < deadline:
        time.sleep(0.005)
    for _ in range(2):
        bench.reopen()
        bench.until(RUI3_READY)
        assert rui3_values(bench) == ["0" * 16, "0" * 16, "0" * 32]


def test_rui3_joins_as_often_as_it_was_told(modem: Open) -> None:
    """OK to the command, one event for each attempt, and busy while the windows are open."""
    bench = rui3_modem(modem)
    assert bench.ask("AT+JOIN=1:0:10:1") == ["OK"]
    assert bench.ask("AT+JOIN=1:0:10:1") == ["AT_BUSY_ERROR"]
    assert bench.ask(f"AT+DEVEUI={DEV_EUI}") == ["AT_BUSY_ERROR"]
    for wait_s in (JOIN_S, 10 + JOIN_S):
        bench.warp(wait_s)
        assert bench.line() == "+EVT:JOIN_FAILED_RX_TIMEOUT"
    assert bench.ask("AT+NJS=?", 2) == ["AT+NJS=0", "OK"]
    bench.stop()
    assert bench.dev_nonce() == 2


@pytest.mark.parametrize("arguments", ["2", "1:2", "1:0:6", "1:0:10:256", "1:0:10:8:1", "x", "1;0"])
def test_rui3_refuses_a_join_that_it_does_not_understand(modem: Open, arguments: str) -> None:
    assert rui3_modem(modem).ask(f"AT+JOIN={arguments}") == ["AT_PARAM_ERROR"]


def test_rui3_names_its_chip_and_what_it_does_not_know(modem: Open) -> None:
    bench = rui3_modem(modem)
    assert bench.ask("AT+UIDS") == ["AT_COMMAND_NOT_FOUND"]
    value, _ = bench.ask("AT+UID=?", 2)
    bench.stop()
    file = BoardFile(bench.path, CHIP)
    words = [file.uid[at : at + 4][::-1].hex() for at in (8, 4, 0)]
    file.close()
    assert value == "AT+UID=" + "".join(words)


def test_rui3_tells_of_a_flash_that_refuses(modem: Open) -> None:
    assert rui3_modem(modem, PAGE_FAULT).ask(f"AT+DEVEUI={DEV_EUI}") == ["AT_ERROR"]


# --- Seeed LoRa-E5 ---


def test_e5_shows_the_key_in_its_answer_and_never_again(modem: Open) -> None:
    bench = modem("modem-e5")
    assert bench.ask("AT") == ["+AT: OK"]
    assert bench.ask(f'AT+KEY=APPKEY,"{KEY}"') == [f"+KEY: APPKEY {KEY}"]
    for command in ("AT+KEY=APPKEY", "AT+KEY", "AT+KEY=APPKEY,?"):
        assert bench.ask(command) == ["+KEY: ERROR(-1)"]


@pytest.mark.parametrize("written", [DEV_EUI, f'"{DEV_EUI}"', '"02 4c 46 42 00 10 00 01"'])
def test_e5_takes_and_keeps_an_id(modem: Open, written: str) -> None:
    bench = modem("modem-e5")
    device, dev_eui, app_eui = bench.ask("AT+ID", 3)
    assert dev_eui.startswith("+ID: DevEui, 2C:F7:F1:20:")
    assert device == "+ID: DevAddr, " + dev_eui[-11:]
    assert app_eui == "+ID: AppEui, 80:00:00:00:00:00:00:06"
    assert bench.ask(f"AT+ID=DevEui,{written}") == [f"+ID: DevEui, {colons(DEV_EUI)}"]
    assert bench.ask(f"AT+ID=AppEui, {JOIN_EUI}") == [f"+ID: AppEui, {colons(JOIN_EUI)}"]
    bench.restart()
    assert bench.ask("AT+ID=DevEui") == [f"+ID: DevEui, {colons(DEV_EUI)}"]
    assert bench.ask("AT+ID=AppEui") == [f"+ID: AppEui, {colons(JOIN_EUI)}"]
    assert bench.ask("AT+FDEFAULT") == ["+FDEFAULT: OK"]
    assert bench.ask("AT+ID=DevEui") == [dev_eui]


@pytest.mark.parametrize("value", ["", "1234567890", DEV_EUI + "0", "x" * 16])
def test_e5_refuses_ids_of_another_length(modem: Open, value: str) -> None:
    bench = modem("modem-e5")
    before = bench.ask("AT+ID", 3)
    assert bench.ask(f'AT+ID=DevEui,"{value}"') == ["+ID: ERROR(-1)"]
    assert bench.ask("AT+ID", 3) == before


def test_e5_says_done_after_a_join_that_failed(modem: Open) -> None:
    bench = modem("modem-e5")
    assert bench.ask("AT+JOIN") == ["+JOIN: Not in OTAA mode"]
    assert bench.ask("AT+MODE=LWOTAA") == ["+MODE: LWOTAA"]
    assert bench.ask("AT+JOIN", 2) == ["+JOIN: Start", "+JOIN: NORMAL"]
    assert bench.ask("AT+JOIN") == ["+JOIN: LoRaWAN modem is busy"]
    assert bench.ask(f"AT+ID=DevEui,{DEV_EUI}") == ["+ID: LoRaWAN modem is busy"]
    bench.warp(JOIN_S)
    assert bench.until("+JOIN: Done") == ["+JOIN: Join failed", "+JOIN: Done"]
    assert bench.ask("AT+FOO=1") == ["+FOO: ERROR(-10)"]
    assert bench.ask("AT+RESET") == ["+RESET: OK"]
    bench.warp(0.02)
    assert bench.ask("AT+MODE") == ["+MODE: LWOTAA"]


# --- Microchip RN2483 ---

RN2483_VERSION = "RN2483 1.0.5 Oct 31 2018 15:06:52"


def rn2483_modem(modem: Open, faults: str = "") -> Bench:
    bench = modem("modem-rn2483", faults)
    assert bench.line() == RN2483_VERSION
    return bench


def rn2483_provision(bench: Bench) -> None:
    for name, value in (("deveui", DEV_EUI), ("appeui", JOIN_EUI), ("appkey", KEY)):
        assert bench.ask(f"mac set {name} {value}") == ["ok"]


def test_rn2483_keeps_nothing_without_mac_save_and_never_shows_a_key(modem: Open) -> None:
    bench = rn2483_modem(modem)
    assert bench.ask("sys get hweui")[0].startswith("0004A30B00")
    rn2483_provision(bench)
    assert bench.ask("mac get deveui") == [DEV_EUI]
    bench.restart()
    assert bench.ask("mac get deveui", 2) == [RN2483_VERSION, "0" * 16]
    assert bench.ask("mac join otaa") == ["keys_not_init"]
    rn2483_provision(bench)
    assert bench.ask("mac save") == ["ok"]
    assert bench.ask("sys reset") == [RN2483_VERSION]
    assert bench.ask("mac get deveui") == [DEV_EUI]
    assert bench.ask("mac get appeui") == [JOIN_EUI]
    assert bench.ask("mac get appkey") == ["invalid_param"]
    assert bench.ask("sys factoryRESET") == [RN2483_VERSION]
    assert bench.ask("mac get appeui") == ["0" * 16]


def test_rn2483_saves_into_a_memory_that_takes_nothing(modem: Open) -> None:
    bench = rn2483_modem(modem, PAGE_FAULT)
    rn2483_provision(bench)
    assert bench.ask("mac save") == ["ok"]
    assert bench.ask("sys reset") == [RN2483_VERSION]
    assert bench.ask("mac get deveui") == ["0" * 16]


def test_rn2483_says_ok_and_later_denied(modem: Open) -> None:
    bench = rn2483_modem(modem)
    rn2483_provision(bench)
    assert bench.ask("mac join otaa") == ["ok"]
    assert bench.ask("mac join otaa") == ["busy"]
    bench.warp(JOIN_S)
    assert bench.line() == "denied"


@pytest.mark.parametrize(
    "command",
    [
        f"mac set deveui {DEV_EUI}0",
        f"mac set deveui {colons(DEV_EUI)}",
        f"MAC SET DEVEUI {DEV_EUI}",
        "mac join abp",
        "x",
    ],
)
def test_rn2483_refuses_with_one_word(modem: Open, command: str) -> None:
    bench = rn2483_modem(modem)
    assert bench.ask(command) == ["invalid_param"]
    assert bench.ask("mac get deveui") == ["0" * 16]


# --- Type ABZ ---


def abz_modem(modem: Open, faults: str = "") -> Bench:
    bench = modem("modem-abz", faults)
    assert bench.line() == "+EVENT=0,0"
    return bench


def test_abz_keeps_each_value_and_one_key_fills_both_slots(modem: Open) -> None:
    bench = abz_modem(modem)
    assert bench.ask("AT+DEV?") == ["+OK=ABZ"]
    assert bench.ask("AT+DEVEUI?") == bench.ask("AT$MCUID?")
    assert bench.ask("AT$NWKKEY?") == [f"+OK={DEFAULT_KEY}"]
    for command in (f"AT+DEVEUI={DEV_EUI}", f"at+appeui={JOIN_EUI}", f"AT+APPKEY={KEY}", "AT+MODE=1"):
        assert bench.ask(command) == ["+OK"]
    bench.restart()
    assert bench.ask("AT+DEVEUI?", 2) == ["+EVENT=0,0", f"+OK={DEV_EUI}"]
    assert bench.ask("AT+APPKEY?") == bench.ask("AT$NWKKEY?") == [f"+OK={KEY}"]
    assert bench.ask("AT+MODE?") == ["+OK=1"]


def test_abz_says_ok_to_a_memory_that_takes_nothing(modem: Open) -> None:
    bench = abz_modem(modem, PAGE_FAULT)
    assert bench.ask(f"AT+APPKEY={KEY}") == ["+OK"]
    assert bench.ask("AT+APPKEY?") == [f"+OK={KEY}"]
    bench.restart()
    assert bench.ask("AT+APPKEY?", 2) == ["+EVENT=0,0", f"+OK={DEFAULT_KEY}"]


def test_abz_lets_one_character_through_behind_a_value(modem: Open) -> None:
    bench = abz_modem(modem)
    assert bench.ask(f"AT+DEVEUI={DEV_EUI}x") == ["+OK"]
    assert bench.ask("AT+DEVEUI?") == [f"+OK={DEV_EUI}"]
    for value in (DEV_EUI + "xx", DEV_EUI[:-1], "x" + DEV_EUI[1:]):
        assert bench.ask(f"AT+DEVEUI={value}") == ["+ERR=-3"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AT+FOO", "+ERR=-1"),
        ("AT$FACNEW", "+ERR=-1"),
        ("AT+FACNEW=1", "+ERR=-1"),
        ("AT+JOIN", "+ERR=-14"),
        ("AT+MODE=2", "+ERR=-3"),
        ("noise AT", "+OK"),
    ],
)
def test_abz_errors_are_numbers(modem: Open, command: str, answer: str) -> None:
    assert abz_modem(modem).ask(command) == [answer]


def test_abz_locks_its_keys_until_it_is_new(modem: Open) -> None:
    """AT+FACNEW keeps DevEUI and DevNonce; its flags take them, too."""
    bench = abz_modem(modem)
    factory = bench.ask("AT+DEVEUI?")
    for command in (f"AT+DEVEUI={DEV_EUI}", f"AT+APPKEY={KEY}", "AT+MODE=1", "AT$LOCKKEYS"):
        assert bench.ask(command) == ["+OK"]
    bench.restart()
    assert bench.ask("AT+APPKEY?", 2) == ["+EVENT=0,0", "+ERR=-50"]
    assert bench.ask("AT+JOIN 0,2") == ["+OK"]
    assert bench.ask("AT+JOIN") == ["+ERR=-7"]
    assert bench.ask("AT+FACNEW") == ["+ERR=-4"]
    assert bench.ask(f"AT+DEVEUI={DEV_EUI}") == ["+ERR=-7"]
    bench.warp(2 * JOIN_S)
    assert bench.line() == "+EVENT=1,0"
    assert bench.ask("AT$DEVNONCE?") == ["+OK=2"]
    assert bench.ask("AT+FACNEW", 3) == ["+OK", "+EVENT=0,1", "+EVENT=0,0"]
    assert bench.ask("AT+APPKEY?") == [f"+OK={DEFAULT_KEY}"]
    assert bench.ask("AT+DEVEUI?") == [f"+OK={DEV_EUI}"]
    assert bench.ask("AT$DEVNONCE?") == ["+OK=2"]
    assert bench.ask("AT+FACNEW 3", 3) == ["+OK", "+EVENT=0,1", "+EVENT=0,0"]
    assert bench.ask("AT+DEVEUI?") == factory
    assert bench.ask("AT$DEVNONCE?") == ["+OK=0"]


def test_abz_restarts_all_the_same_when_it_could_not_become_new(modem: Open) -> None:
    """The one difference is an event that does not come."""
    bench = abz_modem(modem)
    assert bench.ask(f"AT+APPKEY={KEY}") == ["+OK"]
    bench.reopen(PAGE_FAULT)
    assert bench.ask("AT+FACNEW", 3) == ["+EVENT=0,0", "+OK", "+EVENT=0,0"]
    assert bench.ask("AT+APPKEY?") == [f"+OK={KEY}"]


# --- all of them ---

AWAKE = {
    "modem-st": ("AT", "OK"),
    "modem-rui3": ("AT", "OK"),
    "modem-e5": ("AT", "+AT: OK"),
    "modem-rn2483": ("sys get ver", RN2483_VERSION),
    "modem-abz": ("AT", "+OK"),
}


@pytest.mark.parametrize("product", AWAKE)
def test_no_line_stops_a_modem(modem: Open, product: str) -> None:
    """Whatever is sent, the modem answers the next good command."""
    bench = modem(product)
    command, answer = AWAKE[product]
    text = st.text(string.printable.replace("\r", "").replace("\n", ""), max_size=70)
    begins = st.sampled_from(["", "AT+", "AT$", "AT+ID=", "AT+KEY=", "AT+DEUI=", "AT+DEVEUI=", "mac set ", "AT+JOIN="])

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(begins, text)
    def talk(begin: str, rest: str) -> None:
        bench.send(begin + rest)
        bench.hush()  # the same answer may have been given to the line before
        bench.send(command)
        bench.until(answer)

    talk()


@pytest.mark.parametrize("product", ["modem-rui3", "modem-e5", "modem-rn2483", "modem-abz"])
def test_a_dev_nonce_is_stored_when_the_windows_close_and_not_before(modem: Open, product: str) -> None:
    """LoRaMac's order: a power cut before that repeats the value."""
    join = {
        "modem-rui3": ["AT+JOIN"],
        "modem-e5": ["AT+MODE=LWOTAA", "AT+JOIN"],
        "modem-rn2483": [f"mac set {name}" for name in (f"deveui {DEV_EUI}", f"appeui {JOIN_EUI}", f"appkey {KEY}")]
        + ["mac join otaa"],
        "modem-abz": ["AT+MODE=1", "AT+JOIN 0,1"],
    }[product]
    bench = modem(product)
    for passed_s, stored in ((JOIN_S - 0.5, 0), (JOIN_S + 0.5, 1)):
        bench.hush()
        for command in join:
            bench.ask(command)
        bench.warp(passed_s)
        bench.stop()
        assert bench.dev_nonce() == stored
        bench.start()


# --- our own shell ---


def own_shell(modem: Open, faults: str = "") -> Bench:
    bench = modem("endnode-wle5-serial", faults)
    assert bench.line() == "lorafab endnode-serial 1.0.0 ready"
    return bench


IDENTITY_FIELDS = {
    "dev_eui": DEV_EUI,
    "join_eui": JOIN_EUI,
    "app_key": KEY,
    "serial": "LM 000-001",
    "region": "5",
    "generation": "3",
    "lot_crc": f"{zlib.crc32(b'demo-serial'):08X}",
}


def give(bench: Bench, fields: dict[str, str]) -> None:
    for name, value in fields.items():
        assert bench.ask(f"SET {name}={value}") == ["OK"]


@pytest.mark.parametrize("nwk_key", [None, DEFAULT_KEY])
def test_own_shell_writes_the_block_that_it_was_told(modem: Open, nwk_key: str | None) -> None:
    """What lies in the page is identity block v1 as lorafab itself writes it."""
    bench = own_shell(modem)
    give(bench, IDENTITY_FIELDS | ({} if nwk_key is None else {"nwk_key": nwk_key}))
    assert bench.ask("ID?") == ["ERR no identity: blank"]
    assert bench.ask("SET commit") == ["OK"]
    assert f"kcv_app={Secret(bytes.fromhex(KEY)).kcv()}" in bench.ask("ID?", 10)
    bench.stop()
    wanted = Identity(
        serial="LM 000-001",
        dev_eui=Eui64.parse(DEV_EUI),
        join_eui=Eui64.parse(JOIN_EUI),
        app_key=Secret(bytes.fromhex(KEY)),
        nwk_key=None if nwk_key is None else Secret(bytes.fromhex(nwk_key)),
        generation=3,
        region=5,
        lot="demo-serial",
    )
    assert flash_of(bench.path, IDENTITY, 96) == identity_block.encode(wanted)


def test_own_shell_forgets_what_was_not_committed(modem: Open) -> None:
    bench = own_shell(modem)
    give(bench, IDENTITY_FIELDS)
    bench.restart()
    assert bench.ask("SET commit", 2) == [
        "lorafab endnode-serial 1.0.0 ready",
        "ERR not complete: dev_eui, join_eui and app_key are wanted before commit",
    ]
    give(bench, IDENTITY_FIELDS)
    assert bench.ask("SET commit") == ["OK"]
    assert bench.ask("SET commit")[0].startswith("ERR not complete"), "a key is given once"


@pytest.mark.parametrize(
    ("field", "refusal"),
    [
        ("dev_eui=12", "ERR bad value: wanted 16 hex digits of an EUI, 32 of a key"),
        (f"app_key={KEY}0", "ERR bad value: wanted 16 hex digits of an EUI, 32 of a key"),
        ("serial=12345678901234567", "ERR bad value: wanted up to 16 printable characters"),
        ("region=256", "ERR bad value: wanted 0 to 255"),
        ("generation=", "ERR bad value: wanted 0 to 255"),
        ("lot_crc=123", "ERR bad value: wanted 8 hex digits"),
        (
            "name=x",
            "ERR unknown field; known: dev_eui join_eui app_key nwk_key serial region generation lot_crc commit",
        ),
    ],
)
def test_own_shell_refuses_in_one_sentence(modem: Open, field: str, refusal: str) -> None:
    assert own_shell(modem).ask(f"SET {field}") == [refusal]


def test_own_shell_reads_back_what_it_stored(modem: Open) -> None:
    bench = own_shell(modem, PAGE_FAULT)
    give(bench, IDENTITY_FIELDS)
    assert bench.ask("SET commit") == ["ERR not stored: the identity page does not read back"]
    assert bench.ask("ID?") == ["ERR no identity: blank"]


def test_own_shell_leaves_no_key_in_ram(modem: Open) -> None:
    """After commit the bytes of the key are in the page and nowhere else."""
    bench = own_shell(modem)
    give(bench, IDENTITY_FIELDS)
    assert bench.ask("SET commit") == ["OK"]
    assert bench.board is not None
    words = [bench.board.mem_read_words(SRAM + at, 256) for at in range(0, SRAM_SIZE, 1024)]
    memory = b"".join(word.to_bytes(4, "little") for part in words for word in part)
    key = bytes.fromhex(KEY)
    assert not any(key[at : at + 4] in memory or key[at : at + 4][::-1] in memory for at in range(13))
