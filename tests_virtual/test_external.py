"""The identity store `external` on emulated boards: RAM program, real pyOCD, SPI memories that enforce their rules."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import serial

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BLOCK_SIZE, BlockState
from lorafab.domain.memory_map import Span
from lorafab.domain.ram_program import RamProgram
from lorafab.domain.secret import Secret
from lorafab.drivers.image_file import load_image
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import LorafabError, StoreRefused
from lorafab.steps.external_store import ExternalStore, Wiring
from lorafab.targets.algorithm import load_program
from lorafab.targets.spi_memories import SPI_BUSES, SPI_MEMORIES, SpiMemory
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile, State
from lorafab.virtual.chip import At, Chip
from lorafab.virtual.chips import nrf52, wle5, wle5spi
from lorafab.virtual.parts.spi_nor import AT25SF041, W25Q128JV, NorPart, SpiNor
from lorafab.virtual.stm32.gpio import OUTPUT
from tests_virtual.test_line import Bench as Line

ROOT = Path(__file__).resolve().parents[1]
BUSES = {"stm32wle5jc": "spi1", "nrf52840": "spi0"}
NOR, EEPROM = SPI_MEMORIES["at25sf041"], SPI_MEMORIES["25aa02e64"]
PINS = {
    ("stm32wle5jc", "nor"): Wiring("PA5", "PA6", "PA7", "PA4", ("PA9",)),
    ("stm32wle5jc", "eeprom"): Wiring("PA5", "PA6", "PA7", "PA9", ("PA4",)),
    ("nrf52840", "nor"): Wiring("P0.19", "P0.22", "P0.21", "P0.17", ("P0.20",)),
    ("nrf52840", "eeprom"): Wiring("P0.19", "P0.22", "P0.21", "P0.20", ("P0.17",)),
}
NRF52 = nrf52.with_build_code("C0")  # its debug port is open as delivered
every_chip = pytest.mark.parametrize("chip", [wle5spi.CHIP, NRF52], ids=["wle5", "nrf52"])
every_part = pytest.mark.parametrize("kind", ["nor", "eeprom"])


def identity(generation: int = 1) -> Identity:
    """One whose key bytes are found nowhere else: 16 different ones, by generation."""
    return Identity(
        serial="LX00000001",
        dev_eui=Eui64(0x024C464200050001),
        join_eui=Eui64(0x00005EEF10000001),
        app_key=Secret(bytes((0xC3 + 11 * n + 64 * generation) & 0xFF for n in range(16))),
        nwk_key=None,
        generation=generation,
        region=5,
        lot="demo-nor",
    )


@dataclass
class Rig:
    """A board under power, a connected programmer, and the store of one of its parts."""

    board: Board
    programmer: PyocdProgrammer
    kind: str
    uart: Path

    def store(
        self, part: SpiMemory | None = None, ouis: tuple[str, ...] = ("024C45", "024C46"), address: int = 0
    ) -> ExternalStore:
        """As a run makes it."""
        part = part or {"nor": NOR, "eeprom": EEPROM}[self.kind]
        return ExternalStore(
            self.programmer, self.program, part, PINS[self.board.chip.target, self.kind], address, ouis
        )

    @property
    def program(self) -> RamProgram:
        """Of the board's microcontroller."""
        mcu = self.board.chip.target
        return load_program(SPI_BUSES[mcu, BUSES[mcu]].program)

    @property
    def memory(self) -> Any:
        """What the part holds: its array, and its registers behind it."""
        return self.board._file.stores[self.kind]

    @property
    def complaints(self) -> list[str]:
        """What was asked of the board in vain, but that a chip without firmware starts."""
        return [one for one in self.board.complaints if not one.startswith("core: fetch") and "locked up" not in one]

    def cells(self, size: int = BLOCK_SIZE, at: int = 0) -> bytes:
        """Bytes of the part."""
        found: bytes = self.memory.read(at, size)
        return found

    def ask(self, command: str) -> list[str]:
        """Start the firmware and ask its shell."""
        with serial.Serial(str(self.uart), 115200, timeout=60) as line:  # wall clock, for a busy computer
            self.programmer.run()
            assert line.readline().endswith(b"ready\r\n")
            line.write(command.encode() + b"\r\n")
            said: list[str] = []
            while not said or not re.match(r"OK$|ERR ", said[-1]):
                said.append(line.readline().decode().strip())
        return said


Make = Callable[..., Rig]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a board, or puts one of before into the jig again."""
    rigs: list[Rig] = []

    def take_out() -> None:
        if rigs:
            rigs[-1].programmer.close()
            registry.detach("jig0")
            rigs[-1].board.close()

    def put_in(kind: str, chip: Chip = wle5spi.CHIP) -> Rig:
        take_out()
        board = Board.open(tmp_path / "b1.board", chip=chip, uart_link=tmp_path / "uart")
        board.power(True)
        registry.attach("jig0", board)
        rigs.append(Rig(board, PyocdProgrammer("lorafab:jig0", chip.target, 4000), kind, tmp_path / "uart"))
        rigs[-1].programmer.connect()
        return rigs[-1]

    yield put_in
    take_out()


@every_chip
@every_part
def test_a_block_is_written_into_a_blank_part_and_over_another_one(make: Make, chip: Chip, kind: str) -> None:
    """Byte for byte, without an instruction that the part complains about; nothing behind the block changes."""
    rig = make(kind, chip)
    store = rig.store()
    behind = rig.cells(rig.memory.size - BLOCK_SIZE, BLOCK_SIZE)
    assert store.look().state is BlockState.BLANK
    assert rig.memory.erases == rig.memory.programs == 0, "looking writes nothing"
    for generation in (1, 2):
        store.write(identity(generation))
        assert rig.cells() == identity_block.encode(identity(generation))
        held, evidence = store.read_back()
        assert (held.generation, held.kcv_app) == (generation, identity(generation).app_key.kcv())
        assert evidence == "read back"
    assert rig.cells(rig.memory.size - BLOCK_SIZE, BLOCK_SIZE) == behind, "factory EUI and registers included"
    assert rig.memory.erases == (1 if kind == "nor" else 0), "a blank sector is not erased"
    assert rig.complaints == []


@every_chip
@every_part
def test_no_key_is_left_in_the_chip(make: Make, chip: Chip, kind: str) -> None:
    """Neither in the mailbox nor on the stack nor in a register of the core, in any piece of four bytes."""
    rig = make(kind, chip)
    store, key = rig.store(), identity().app_key.reveal()
    begin, meanwhile = rig.memory.begin_program, set()

    def begin_program(*operation: Any) -> None:
        meanwhile.add(key in next(iter(rig.board.silicon._rams.values()))[:])
        begin(*operation)

    rig.memory.begin_program = begin_program
    store.write(identity())
    store.read_back()
    assert meanwhile == {True}, "while it is written it has to be there, and this is how it is found"
    ram = b"".join(rig.programmer.read(Span(one.base, one.size)) for one in chip.rams)
    registers = struct.pack(
        "<13I", *rig.programmer._session.target.read_core_registers_raw([f"r{n}" for n in range(13)])
    )
    assert rig.cells().count(key) == 1, "it is in the part"
    assert not [n for n in range(13) if key[n : n + 4] in ram + registers]
    symbols = rig.program.symbols
    stack = rig.programmer.read(Span(symbols["__stack_limit"], symbols["__stack_top"] - symbols["__stack_limit"]))
    assert not any(stack[:-32]), "all but the frame of the program's entry"


def without(name: str, chip: Chip = wle5spi.CHIP) -> Chip:
    """The board with one part not mounted: its chip-select goes nowhere."""
    return replace(chip, parts=tuple(at for at in chip.parts if at.name != name))


def with_nor(part: NorPart) -> Chip:
    """The board with another NOR flash."""
    at = At("nor", SpiNor, settings={"bus": "spi1", "cs": "PA4", "store": "nor", "part": part})
    return replace(
        wle5.CHIP, name="wle5spi", parts=(*wle5.CHIP.parts, at), stores=(*wle5.CHIP.stores, part.store("nor"))
    )


@every_chip
@every_part
def test_a_part_that_is_not_mounted_does_not_answer(make: Make, chip: Chip, kind: str) -> None:
    """It is no blank one."""
    rig = make(kind, without(kind, chip))
    with pytest.raises(StoreRefused) as caught:
        rig.store().look()
    part, pin = {"nor": "AT25SF041", "eeprom": "25AA02E64"}[kind], PINS[chip.target, kind].select
    assert str(caught.value) == (
        f"the {part} on pin {pin}: it does not answer, wanted its status register; check its soldering and the wiring "
        "in product.yaml, power the board off and on and repeat once, then set it aside"
    )


def test_another_part_is_refused_by_its_id(make: Make) -> None:
    """Whatever it holds is not read, and nothing is written."""
    rig = make("nor", with_nor(W25Q128JV))
    for act in (rig.store().look, lambda: rig.store().write(identity())):
        with pytest.raises(StoreRefused) as caught:
            act()
        assert str(caught.value) == (
            "the AT25SF041 on pin PA4: another part answers (id EF4018), wanted 1F8401; check that the right part is "
            "mounted, then set the board aside"
        )
    assert rig.memory.erases == rig.memory.programs == 0


def test_the_part_of_the_other_maker_is_driven_alike(make: Make) -> None:
    """A W25Q128JV, at the beginning of its last sector."""
    rig = make("nor", with_nor(W25Q128JV))
    store = rig.store(SPI_MEMORIES["w25q128jv"], address=0xFFF000)
    for generation in (1, 2):
        store.write(identity(generation))
    assert rig.cells(at=0xFFF000) == identity_block.encode(identity(2))
    assert rig.complaints == []


def test_an_eeprom_with_a_foreign_number_is_refused(make: Make) -> None:
    """The factory EUI-64 is all that tells which part answers: its maker's numbers are known."""
    rig = make("eeprom")
    eui = rig.store().factory_eui()
    assert eui is not None
    assert eui.to_bytes() == rig.cells(8, 0xF8)
    with pytest.raises(StoreRefused) as caught:
        rig.store(ouis=EEPROM.ouis).look()
    assert str(caught.value) == (
        f"the 25AA02E64 on pin PA9: its factory EUI-64 reads {eui}, wanted one that begins with 0004A3 or 001EC0 or "
        "D88039 or 5410EC; check that this part is mounted, then set the board aside"
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [("nor", b"\x04\x00"), ("nor", b"\x1c\x00"), ("nor", b"\x00\x40"), ("eeprom", b"\x0c")],
    ids=["one block", "all blocks", "complement", "all"],
)
def test_a_protected_part_is_refused_before_anything_is_erased(make: Make, kind: str, status: bytes) -> None:
    """And its protection stays: who set it had a reason."""
    rig = make(kind)
    size = rig.memory.size - 16
    rig.memory.put(0, b"\x5a" * BLOCK_SIZE)
    rig.memory.put(size, status)
    with pytest.raises(
        StoreRefused, match=r"its status register \(0x.., 0x..\) protects the place of the identity block"
    ):
        rig.store().write(identity())
    assert rig.cells() == b"\x5a" * BLOCK_SIZE
    assert rig.cells(len(status), size) == status
    assert rig.complaints == []


def test_the_factory_quarter_may_stay_protected_and_half_of_the_array_too(make: Make) -> None:
    """The block lies below both."""
    rig = make("eeprom")
    rig.memory.put(256, b"\x08")
    rig.store().write(identity())
    assert rig.cells() == identity_block.encode(identity())


def test_an_erase_that_does_not_end_is_given_up(make: Make) -> None:
    """The program counts its looks at the status register, and the sentence says what it waited for."""
    slow = replace(AT25SF041, erases={0x20: (0x1000, 10**12)})
    rig = make("nor", with_nor(slow))
    assert NOR.erase is not None
    hasty = replace(NOR, program_max_ms=1, erase=replace(NOR.erase, max_ms=1))
    rig.memory.put(0, b"\0")
    with pytest.raises(StoreRefused, match="it is still busy after its longest time, wanted the end of a write"):
        rig.store(hasty).write(identity())


def test_a_part_that_does_not_let_itself_be_written_is_refused(make: Make) -> None:
    """Its write enable latch does not set, as with a WP pin that is held low; nothing is sent after that."""
    rig = make("nor")
    rig.board.silicon.parts["nor"].latch = lambda _value: None  # type: ignore[attr-defined]
    with pytest.raises(
        StoreRefused, match=r"does not let itself be written \(its write enable latch stays 0\), wanted"
    ):
        rig.store().write(identity())
    assert rig.memory.programs == 0
    assert rig.complaints == []


def test_an_spi_that_stands_still_is_given_up(make: Make) -> None:
    """The program counts its looks at the flag that should come."""
    rig = make("nor")
    rig.board.silicon.parts["spi1"]._begin = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(StoreRefused, match="the microcontroller's SPI does not move, wanted its clock"):
        rig.store().look()


def test_the_other_part_on_the_bus_is_held_off_it(make: Make) -> None:
    """Its chip-select is driven high, whatever its pull-up does."""
    rig = make("nor")
    rig.store().look()
    gpio: Any = rig.board.silicon.parts["gpioA"]
    assert gpio.mode(9) == OUTPUT
    assert gpio.reads_high(9)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 9), (16, 257), (24, 0), (26, 0), (26, 4)],
    ids=["command", "length", "page", "no address", "long address"],
)
def test_the_program_refuses_what_cannot_be(make: Make, place: int, value: int) -> None:
    """An unknown command, more data than its mailbox holds, no page, an address of no or of four bytes."""
    rig = make("nor")
    request = struct.pack("<6IH4B8B", 2, 0, 0, 0, 8, 100, 256, 3, 0x20, 0xAB, 0x35, 5, 6, 7, 4, *[0xFF] * 4)
    assert rig.programmer.call(rig.program, "Serve", (), request, 46, 5.0)[1][4:8] == bytes(4)
    size = 4 if place in (0, 16) else 2 if place == 24 else 1
    wrong = request[:place] + value.to_bytes(size, "little") + request[place + size :]
    status, answer = rig.programmer.call(rig.program, "Serve", (), wrong, 46, 5.0)
    assert (status, answer[4:8]) == (1, b"\x01\0\0\0")
    assert rig.complaints == []


def test_bytes_that_do_not_take_are_found(make: Make) -> None:
    """The part says nothing of them: all that was written is read back."""
    rig = make("nor")
    finish = rig.memory.finish

    def finish_badly() -> tuple[int, int]:
        done: tuple[int, int] = finish()
        rig.memory.put(30, bytes([rig.memory.read(30, 1)[0] ^ 1]))
        return done

    rig.memory.finish = finish_badly
    with pytest.raises(StoreRefused) as caught:
        rig.store().write(identity())
    assert str(caught.value) == (
        "the AT25SF041 on pin PA4: 1 bytes of the identity block at 0x0 read other than they were written, wanted all "
        "of them as written; repeat once, then set the board aside"
    )


def test_what_the_firmware_began_is_waited_for(make: Make) -> None:
    """It may have been halted while its own data were erased elsewhere in the part."""
    rig = make("nor")
    nor: Any = rig.board.silicon.parts["nor"]
    nor._erase_block(0x1000, 200_000_000, 0x4000, b"")
    assert rig.store().look().state is BlockState.BLANK
    assert not nor.busy
    assert rig.complaints == ["nor: RDP while it is busy is ignored; see its data sheet"], "it is awake"


def test_a_part_that_sleeps_is_woken(make: Make) -> None:
    """The firmware sends its flash into deep power-down between two reads."""
    rig = make("nor")
    rig.board.silicon.parts["nor"].down = True  # type: ignore[attr-defined]
    rig.store().write(identity())
    assert rig.cells() == identity_block.encode(identity())
    assert rig.complaints == []


@every_part
def test_a_power_cut_leaves_no_other_identity_and_the_next_run_writes_a_whole_one(make: Make, kind: str) -> None:
    """At eight moments of a rewrite: the block is the old one, the new one, blank or damaged, never a mixture."""
    rig = make(kind)
    rig.store().write(identity(1))
    begin = rig.board.clock.now_ns
    rig.store().write(identity(2))
    whole_ns = rig.board.clock.now_ns - begin
    states = set()
    for moment in range(8):
        delay_ns = whole_ns * (2 * moment + 1) // 16
        rig.board.clock.at(rig.board.clock.now_ns + delay_ns, rig.board.power_failed)
        with pytest.raises(LorafabError):
            rig.store().write(identity(1))
        assert not rig.board.powered
        rig = make(kind)
        found = rig.store().look()
        states.add(found.state)
        wholes = [identity_block.encode(identity(n)) for n in (1, 2)]
        assert (found.state is BlockState.VALID) == (rig.cells() in wholes)
        rig.store().write(identity(2))
        assert rig.cells() == wholes[1]
    assert states >= {BlockState.VALID, BlockState.DAMAGED}


@pytest.mark.parametrize(
    ("chip", "kind", "product"),
    [
        (wle5spi.CHIP, "nor", "endnode-wle5-nor"),
        (wle5spi.CHIP, "eeprom", "endnode-wle5-25aa"),
        (NRF52, "nor", "endnode-nrf52-nor"),
    ],
    ids=["wle5-nor", "wle5-25aa", "nrf52-nor"],
)
def test_the_firmware_reads_its_identity_from_the_part_and_takes_nothing_less(
    make: Make, chip: Chip, kind: str, product: str
) -> None:
    """Whole: who it is, and its key's check value; blank, written in part, one bit wrong, no part: refused."""
    rig = make(kind, chip)
    image = load_image(ROOT / "firmware" / product / f"{product}.hex", named_by="this test")
    rig.programmer.program([], list(image.segments))
    assert rig.ask("ID?") == ["ERR no identity: blank"]
    block = identity_block.encode(identity())
    spoilt = bytes([block[30] ^ 1])
    for wrong, why in (
        (block[:64] + b"\xff" * 32, "bad crc"),
        (block[:30] + spoilt + block[31:], "bad crc"),
        (b"\xff" + block[1:], "bad magic"),
    ):
        rig.memory.put(0, wrong)
        assert rig.ask("ID?") == [f"ERR no identity: {why}"]
    rig.memory.put(0, block)
    said = rig.ask("ID?")
    assert said[-1] == "OK"
    values = dict(line.split("=") for line in said[:-1])
    assert values["dev_eui"] == "024C464200050001"
    assert values["serial"] == "LX00000001"
    assert values["kcv_app"] == identity().app_key.kcv()
    assert rig.complaints == []
    rig = make(kind, without(kind, chip))
    assert rig.ask("ID?") == ["ERR no identity: blank"]


class ExternalLine(Line):
    """Runs of a lot whose boards have SPI memories."""

    def of(self, kind: str, name: str, offset: int = 0, size: int = BLOCK_SIZE, chip: Chip = wle5spi.CHIP) -> bytes:
        """Bytes of a part of a board."""
        file = BoardFile(self.board(name), chip)
        try:
            return file.stores[kind].read(offset, size)
        finally:
            file.close()

    def put(self, kind: str, name: str, offset: int, data: bytes) -> None:
        """Change a part of a board."""
        file = BoardFile(self.board(name), wle5spi.CHIP)
        try:
            file.stores[kind].put(offset, data)
        finally:
            file.close()


@pytest.fixture
def line(tmp_path: Path) -> ExternalLine:
    return ExternalLine(tmp_path)


def test_boards_with_a_nor_flash_pass_are_kept_and_repaired(line: ExternalLine) -> None:
    """Two boards have the same flash; a second run keeps the identity, a damaged block gets the next generation, and
    another board's block is refused."""
    first, second = line.run("--lot=demo-nor"), line.run("--lot=demo-nor", board="b2")
    assert (first.status, second.status) == (0, 0), first.text + second.text
    nvm = 0x3F000
    assert line.flash("b1")[:nvm] == line.flash("b2")[:nvm]
    block, other = line.of("nor", "b1"), line.of("nor", "b2")
    decoded = identity_block.decode(block)
    assert decoded is not None
    assert first.record["dev_eui"] == str(decoded.dev_eui) == "024C464200050001"
    assert block not in line.flash("b1")
    again = line.run("--lot=demo-nor")
    assert again.status == 0, again.text
    assert line.of("nor", "b1") == block
    line.put("nor", "b1", 24, bytes(8))
    repaired = line.run("--lot=demo-nor")
    assert repaired.status == 0, repaired.text
    now = identity_block.decode(line.of("nor", "b1"))
    assert now is not None
    assert (now.dev_eui, now.generation) == (decoded.dev_eui, 2)
    line.put("nor", "b1", 0, other)
    foreign = line.run("--lot=demo-nor")
    assert foreign.status == 1, foreign.text
    assert "the board's identity page holds 024C464200050002" in foreign.sentences
    assert line.of("nor", "b1") == other


def test_a_run_that_is_killed_while_the_part_is_written_is_made_good(line: ExternalLine) -> None:
    """The block is torn; the next run says so, and writes a whole one of the next generation."""
    killed = line.run("--lot=demo-nor", "-p", "tests_virtual.dies", LORAFAB_DIE="part")
    assert killed.status == -9, killed.text
    assert identity_block.decode(line.of("nor", "b1")) is None
    again = line.run("--lot=demo-nor")
    assert again.status == 0, again.text
    assert "it is recorded as INTERRUPTED" in again.sentences
    block = identity_block.decode(line.of("nor", "b1"))
    assert block is not None
    assert (str(block.dev_eui), block.generation) == ("024C464200050001", 2)
    assert block.app_key.kcv() == again.record["keys"]["kcv_app"]


def test_an_nrf52840_with_a_nor_flash_passes(line: ExternalLine) -> None:
    """A board that lets a debugger in: both halves of its protection are open, and its firmware keeps them so."""
    chip = nrf52.CHIP
    file = BoardFile(line.board("n1"), chip)
    file.stores["uicr"].put(0x208, b"\x5a\xff\xff\xff")
    image = load_image(ROOT / "firmware/endnode-nrf52-nor/endnode-nrf52-nor.hex", named_by="this test")
    for segment in image.segments:
        file.stores["flash"].put(segment.address, segment.data)
        for word in range(segment.address // 4, segment.span.end // 4):
            file.stores["flash"].set_state(word, State.PROGRAMMED)
    file.close()
    result = line.run("--lot=demo-nrf52-nor", board="n1")
    assert result.status == 0, result.text
    block = identity_block.decode(line.of("nor", "n1", chip=chip))
    assert block is not None
    assert str(block.dev_eui) == result.record["dev_eui"] == "024C464200058001"


def test_an_nrf52840_as_its_maker_delivers_it_is_opened_and_passes(line: ExternalLine) -> None:
    """Locked, with nothing on it: no permit is asked for."""
    result = line.run("--lot=demo-nrf52-nor", board="n2")
    assert result.status == 0, result.text


def test_a_board_takes_its_dev_eui_from_the_eeprom_beside_it(line: ExternalLine) -> None:
    """Its factory EUI-64 is the DevEUI in block, record and firmware; another EEPROM on the same board is refused."""
    result = line.run("--lot=demo-25aa")
    assert result.status == 0, result.text
    eui = line.of("eeprom", "b1", 0xF8, 8)
    assert result.record["dev_eui"] == eui.hex().upper()
    written = line.of("eeprom", "b1")
    block = identity_block.decode(written)
    assert block is not None
    assert block.dev_eui.to_bytes() == eui
    kept = line.run("--lot=demo-25aa")
    assert kept.status == 0, kept.text
    assert line.of("eeprom", "b1") == written
    line.put("eeprom", "b1", 0xFF, bytes([eui[7] ^ 1]))
    exchanged = line.run("--lot=demo-25aa")
    assert exchanged.status == 1, exchanged.text
    assert f"belongs to DevEUI {eui.hex().upper()}" in exchanged.sentences
    assert line.of("eeprom", "b1") == written, "nothing was written"
