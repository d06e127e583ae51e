"""lorafab/virtual/stm32/flash_wl.py: the rules of the flash one by one, as a debugger with a halted core meets them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafab.virtual.bus import BusFault
from tests_virtual.silicon import programs
from tests_virtual.silicon.rig import (
    AIRCR,
    BUSY,
    CONTROLLER,
    CR,
    DEMCR,
    DHCSR,
    ECCR,
    FLASH,
    KEYR,
    KEYS,
    LOCK,
    MER,
    PER,
    PG,
    SR,
    SRAM,
    STRT,
    Debugger,
    open_board,
    put_in_file,
)

PROGERR, WRPERR, PGAERR, SIZERR, PGSERR, CFGBSY = 8, 0x10, 0x20, 0x40, 0x80, 1 << 18
PLACE = FLASH + 0x10000
DATA = bytes.fromhex("1122334455667788")
OTP = 0x1FFF_7000

Bench = Callable[..., Debugger]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Makes a debugger on a board; a second call with the same name opens the same file again."""
    made: list[Debugger] = []

    def make(name: str = "b", faults: str = "", program: bytes = b"", halted: bool = True) -> Debugger:
        for old in made:
            old.board.close()
        made.append(Debugger(open_board(tmp_path / f"{name}.board", program, faults), halted))
        return made[-1]

    yield make
    for debugger in made:
        debugger.board.close()


@pytest.fixture
def probe(bench: Bench) -> Debugger:
    """A debugger on a blank board with its flash unlocked."""
    debugger = bench()
    debugger.unlock()
    return debugger


def test_two_words_program_a_double_word(probe: Debugger) -> None:
    """Content, alias and file agree afterwards, and no flag is left."""
    assert probe.program(PLACE, DATA) == 0
    assert probe.bytes(PLACE, 8) == DATA
    assert probe.bytes(PLACE - FLASH, 8) == DATA
    assert probe.board.path.read_bytes()[0x10000:0x10008] == DATA


def test_locked_flash_ignores_control_writes(bench: Bench) -> None:
    """Without the keys nothing can be started."""
    probe = bench()
    probe.write(CR, PG)
    assert probe.read(CR) & (LOCK | PG) == LOCK


def test_wrong_key_locks_until_reset(bench: Bench) -> None:
    """The key register then answers with bus errors, and a reset makes it usable again."""
    probe = bench()
    probe.write(KEYR, KEYS[0])
    for key in (0x1234, *KEYS):
        with pytest.raises(BusFault):
            probe.write(KEYR, key)
    assert probe.read(CR) & LOCK
    probe.write(0xE000_ED0C, 0x05FA_0004)
    probe.unlock()
    assert not probe.read(CR) & LOCK


def test_locking_needs_no_key(probe: Debugger) -> None:
    """CR.LOCK can be set, not cleared."""
    probe.write(CR, LOCK)
    probe.write(CR, 0)
    assert probe.read(CR) & LOCK


def test_busy_lasts_and_polling_is_cheap(probe: Debugger) -> None:
    """The first look sees BSY, the second jumps to the end: 22 ms of erase cost no thousand polls."""
    before = probe.board.clock.now_ns
    probe.write(CR, PER | 32 << 3 | STRT)
    assert probe.read(SR) & BUSY
    assert not probe.read(SR) & BUSY
    assert probe.board.clock.now_ns - before > 22_000_000


def test_slow_erase_takes_longer(bench: Bench) -> None:
    """The fault plan's factor stretches erases."""
    probe = bench(faults="slow_erase=10")
    probe.unlock()
    before = probe.board.clock.now_ns
    probe.erase_page(3)
    assert probe.board.clock.now_ns - before > 220_000_000


def test_erase_clears_one_page(probe: Debugger) -> None:
    """The neighbours keep their content."""
    for page in (31, 32, 33):
        probe.program(FLASH + page * 2048, DATA)
    assert probe.erase_page(32) == 0
    assert [probe.bytes(FLASH + page * 2048, 8) for page in (31, 32, 33)] == [DATA, b"\xff" * 8, DATA]
    assert probe.program(FLASH + 32 * 2048, DATA) == 0, "an erased page can be programmed again"


def test_mass_erase_clears_everything(probe: Debugger) -> None:
    """First and last double word."""
    for address in (FLASH, FLASH + 0x3FFF8):
        probe.program(address, DATA)
    probe.write(CR, MER | STRT)
    assert probe.wait_flash() == 0
    assert probe.bytes(FLASH, 256 * 1024) == b"\xff" * 256 * 1024


def test_second_program_is_refused(probe: Debugger) -> None:
    """PROGERR, and the content stays."""
    probe.program(PLACE, DATA)
    assert probe.program(PLACE, b"\x11" * 8) == PROGERR
    assert probe.program(PLACE, DATA) == PROGERR, "the same data is a second program, too"
    assert probe.bytes(PLACE, 8) == DATA


def test_programmed_word_can_be_zeroed(probe: Debugger) -> None:
    """All-zero is the one exception, also when one half was FFFFFFFF."""
    for data in (DATA, b"\xff" * 4 + b"\x01" * 4):
        probe.erase_page(32)
        probe.program(PLACE, data)
        assert probe.program(PLACE, bytes(8)) == 0
        assert probe.bytes(PLACE, 8) == bytes(8)


def test_programmed_ones_are_not_erased_ones(probe: Debugger) -> None:
    """A double word programmed with all ones reads as erased, but takes no data and cannot be zeroed."""
    assert probe.program(PLACE, b"\xff" * 8) == 0
    assert probe.program(PLACE, DATA) == PROGERR
    assert probe.program(PLACE, bytes(8)) == PROGERR
    assert probe.bytes(PLACE, 8) == b"\xff" * 8


@pytest.mark.parametrize("size", [1, 2])
def test_small_writes_are_size_errors(probe: Debugger, size: int) -> None:
    """SIZERR, nothing programmed."""
    probe.write(CR, PG)
    probe.write(PLACE, 0, size)
    assert probe.read(SR) == SIZERR
    assert probe.bytes(PLACE, 8) == b"\xff" * 8


@pytest.mark.parametrize(("first", "second"), [(4, 0), (0, 12), (0, 8), (0, 0)])
def test_words_of_two_places_are_alignment_errors(probe: Debugger, first: int, second: int) -> None:
    """Low word first, high word of the same double word second; anything else is PGAERR."""
    probe.write(CR, PG)
    probe.write(PLACE + first, 0)
    probe.write(PLACE + second, 0)
    assert probe.read(SR) & PGAERR
    assert probe.bytes(PLACE, 16) == b"\xff" * 16


def test_half_a_double_word_waits(probe: Debugger) -> None:
    """CFGBSY between the two writes; the array does not change before the second."""
    probe.write(CR, PG)
    probe.write(PLACE, 0)
    assert probe.read(SR) == CFGBSY
    assert probe.bytes(PLACE, 8) == b"\xff" * 8


def test_errors_must_be_cleared_first(probe: Debugger) -> None:
    """A flag from before makes the next operation a sequence error; writing ones clears."""
    probe.write(CR, PG)
    probe.write(PLACE, 0, 1)
    probe.write(PLACE, 0)
    assert probe.read(SR) == SIZERR | PGSERR
    probe.write(CR, PER | 32 << 3 | STRT)
    assert not probe.read(SR) & BUSY
    probe.write(SR, 0xFB)
    assert probe.read(SR) == 0
    assert probe.program(PLACE, DATA) == 0


def test_start_without_a_kind_is_a_sequence_error(probe: Debugger) -> None:
    """STRT needs exactly one of PER and MER, and no PG."""
    for bits in (0, PER | MER, PG | PER, PG):
        probe.write(SR, 0xFB)
        probe.write(CR, bits | STRT)
        assert probe.read(SR) == PGSERR


def test_stray_write_jams_the_controller(probe: Debugger) -> None:
    """A write without PG sets CFGBSY for good: later operations hang until reset."""
    probe.write(0x0000_0000, 0)
    assert probe.read(SR) == PGSERR | CFGBSY
    probe.write(SR, 0xFB)
    probe.write(CR, PER | 32 << 3 | STRT)
    probe.board.advance(1_000_000_000)
    assert probe.read(SR) == CFGBSY
    probe.write(0xE000_ED0C, 0x05FA_0004)
    assert probe.read(SR) == 0


def test_end_of_operation_flag_needs_its_enable(probe: Debugger) -> None:
    """EOP only with EOPIE, cleared by writing one."""
    probe.program(PLACE, DATA)
    assert probe.read(SR) == 0
    probe.write(CR, 1 << 24 | PER | 32 << 3 | STRT)
    assert probe.wait_flash() == 1
    probe.write(SR, 1)
    assert probe.read(SR) == 0


def test_otp_takes_each_double_word_once(bench: Bench) -> None:
    """Not even zeros a second time, and it survives power cycles and mass erase."""
    probe = bench()
    probe.unlock()
    assert probe.program(OTP + 8, DATA) == 0
    assert probe.program(OTP + 8, bytes(8)) == PROGERR
    probe.write(SR, 0xFB)
    probe.write(CR, MER | STRT)
    probe.wait_flash()
    assert bench().bytes(OTP, 16) == b"\xff" * 8 + DATA


def test_system_memory_is_write_protected(probe: Debugger) -> None:
    """The unique id cannot be programmed over."""
    assert probe.program(0x1FFF_7590, bytes(8)) == WRPERR
    assert probe.bytes(0x1FFF_7590, 12)[:4] == b"LFVB"


def test_protected_pages_refuse(bench: Bench, tmp_path: Path) -> None:
    """Pages of a stored write protection area: WRPERR for program, page erase and mass erase."""
    bench().board.close()
    with (tmp_path / "b.board").open("r+b") as file:
        file.seek(0x40044)
        file.write((32 | 33 << 16).to_bytes(4, "little"))
    probe = bench()
    probe.unlock()
    assert probe.program(PLACE, DATA) == WRPERR
    assert probe.erase_page(33) == WRPERR
    assert probe.erase_page(34) == 0
    probe.write(CR, MER | STRT)
    assert probe.read(SR) == WRPERR


def test_flash_state_survives_reopening(bench: Bench) -> None:
    """Programmed ones stay programmed."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, b"\xff" * 8)
    probe = bench()
    probe.unlock()
    assert probe.program(PLACE, DATA) == PROGERR


def test_power_cut_in_the_middle_tears_the_double_word(bench: Bench) -> None:
    """A debugger then gets a bus fault there, ECCR names the place, and an erase heals it."""
    probe = bench()
    probe.unlock()
    probe.write(CR, PG)
    probe.write(PLACE, 0)
    probe.write(PLACE + 4, 0)
    probe.board.power(False)
    probe = bench()
    probe.unlock()
    with pytest.raises(BusFault) as caught:
        probe.read(PLACE + 4)
    assert caught.value.address == PLACE
    assert probe.read(ECCR) == 1 << 31 | 0x10000 // 8
    probe.write(ECCR, 1 << 31)
    assert probe.read(ECCR) & 1 << 31 == 0
    assert probe.program(PLACE, bytes(8)) == PROGERR
    assert probe.erase_page(32) == 0
    assert probe.bytes(PLACE, 8) == b"\xff" * 8


def test_planned_power_cut_happens_at_its_address(bench: Bench) -> None:
    """The double words before are whole, the one at the address is torn, the board is dead until it is powered."""
    probe = bench(faults=f"power_cut_at={PLACE + 8:#x}")
    probe.unlock()
    with pytest.raises(BusFault):
        probe.program(PLACE, DATA * 3)
    assert not probe.board.powered
    probe.board.power(True)
    assert probe.bytes(PLACE, 8) == DATA
    with pytest.raises(BusFault):
        probe.bytes(PLACE + 8, 8)
    assert probe.bytes(PLACE + 16, 8) == b"\xff" * 8


def test_erase_cut_short_leaves_no_good_word(bench: Bench) -> None:
    """A page whose erase was interrupted reads nowhere, its neighbours do."""
    probe = bench()
    probe.unlock()
    probe.program(FLASH + 31 * 2048, DATA)
    probe.write(CR, PER | 32 << 3 | STRT)
    probe.board.power(False)
    probe = bench()
    assert probe.bytes(FLASH + 31 * 2048, 8) == DATA
    for offset in (0, 2040):
        with pytest.raises(BusFault):
            probe.read(PLACE + offset)


def test_stuck_bits_stay_whatever_is_written(bench: Bench) -> None:
    """Reads and the file show the stuck level, the controller reports success."""
    probe = bench(faults=f"stuck_bit={PLACE + 1:#x}.0=1; stuck_bit={PLACE + 7:#x}.7=0")
    probe.unlock()
    assert probe.bytes(PLACE, 8) == bytes.fromhex("ffffffffffffff7f")
    assert probe.program(PLACE, bytes.fromhex("00000000000000ff")) == 0
    assert probe.bytes(PLACE, 8) == bytes.fromhex("000100000000007f")
    assert probe.board.path.read_bytes()[0x10000:0x10008] == bytes.fromhex("000100000000007f")
    probe.erase_page(32)
    assert probe.bytes(PLACE, 8) == bytes.fromhex("ffffffffffffff7f")


def test_stuck_bits_stay_in_a_torn_page(bench: Bench) -> None:
    """An erase that was cut short does not heal them."""
    probe = bench(faults=f"stuck_bit={PLACE:#x}.0=0")
    stuck = probe.board.silicon.file.stores["flash"]
    probe.unlock()
    probe.write(CR, PER | 32 << 3 | STRT)
    probe.board.power(False)
    assert not stuck.read(0x10000, 1)[0] & 1


def test_hooks_see_every_double_word_twice(probe: Debugger) -> None:
    """Before and after, with its address: what kill tests hang on to."""
    seen: list[int] = []
    probe.board.silicon.flash.on_program.append(seen.append)
    probe.program(PLACE, DATA * 2)
    assert seen == [PLACE, PLACE, PLACE + 8, PLACE + 8]


def test_code_in_flash_follows_the_same_rules(bench: Bench) -> None:
    """A program that runs from flash erases, programs, is refused a second time, and waits for each operation."""
    probe = bench(program=programs.NVMTEST, halted=False)
    probe.board.advance(1_000_000)
    assert probe.board.clock.now_ns > 22_000_000, "fetches stall while the page is being erased"
    probe.board.advance(1_000_000)
    results = probe.board.mem_read_words(SRAM, 11)
    assert results[6:11] == [0, PROGERR, 0x1122_3344, 0, 0xD0E]
    assert probe.bytes(FLASH + 0x20000, 8) == bytes.fromhex("4433221188776655")
    assert probe.board.path.read_bytes()[0x20100:0x20108] == bytes.fromhex("0f0f0f0f78563412")


def test_core_takes_an_nmi_for_a_torn_word(bench: Bench, tmp_path: Path) -> None:
    """Before the next instruction, with ECCR latched; the read itself delivers what is in the cells."""
    put_in_file(tmp_path / "b.board", 0x20100, DATA, state=2)
    probe = bench(program=programs.NVMTEST, halted=False)
    probe.board.advance(1_000_000)
    results = probe.board.mem_read_words(SRAM, 11)
    assert results[0] == 0x4433_2211
    assert results[1] == 1, "the NMI came before the next statement"
    assert results[4:6] == [1, 1 << 31 | 0x20100 // 8]
    assert results[10] == 0xD0E


def test_a_step_over_a_torn_word_raises_the_nmi(bench: Bench, tmp_path: Path) -> None:
    """The debugger's step reads like any other: ECCR is latched, the next step begins the NMI handler."""
    put_in_file(tmp_path / "b.board", 0x10000, DATA, state=2)
    load = bytes.fromhex("01480168fee700bf00000108")  # ldr r0, =PLACE; ldr r1, [r0]; b .
    vectors = (0x2000_8000).to_bytes(4, "little") + (FLASH + 0x101).to_bytes(4, "little") * 63
    probe = bench(program=vectors + load)
    probe.write(DEMCR, 1)
    probe.write(AIRCR, 0x05FA_0004)
    seen = []
    for _ in range(3):
        probe.write(DHCSR, 0xA05F_0005)
        seen.append((probe.register(16) & 0x1FF, probe.read(ECCR)))
    latched = 1 << 31 | 0x10000 // 8
    assert seen == [(0, 0), (0, latched), (2, latched)]


def test_torn_word_read_through_the_alias_is_named_there(bench: Bench, tmp_path: Path) -> None:
    """The fault has the address that was asked for."""
    put_in_file(tmp_path / "b.board", 0x10008, DATA, state=2)
    probe = bench()
    for base in (FLASH, 0):
        with pytest.raises(BusFault) as caught:
            probe.board.mem_read_words(base + 0x10000, 4)
        assert caught.value.address == base + 0x10008


def test_bits_of_parts_with_two_banks_do_nothing(probe: Debugger) -> None:
    """MER2, BKER and the eighth bit of PNB do not exist here: STRT with MER2 alone has nothing to erase."""
    probe.program(PLACE, DATA)
    probe.write(CR, 1 << 15 | 1 << 11 | 1 << 10)
    assert probe.read(CR) & 0xFFFF == 0
    probe.write(CR, 1 << 15 | STRT)
    assert probe.wait_flash() == PGSERR
    assert probe.bytes(PLACE, 8) == DATA


def test_core_takes_an_nmi_for_a_torn_word_of_the_otp_area(probe: Debugger) -> None:
    """At once after the power cut, not only when the board's file is opened again."""
    probe.write(CR, PG)
    probe.write(OTP, 1)
    probe.write(OTP + 4, 1)
    probe.board.power(False)
    probe.board.power(True)
    probe.write(DHCSR, 0xA05F_0003)
    probe.write(SRAM, 0xE7FE_6801)  # ldr r1, [r0]; b .
    for number, value in ((0, OTP), (15, SRAM), (16, 1 << 24)):
        probe.set_register(number, value)
    probe.write(DHCSR, 0xA05F_0005)
    assert probe.read(ECCR) == 1 << 31 | 1 << 20 | 0x7000 // 8


def test_too_few_wait_states_are_complained_about(probe: Debugger) -> None:
    """MSI at 48 MHz wants two; with two set first, or at 16 MHz, nobody says anything."""
    acr, rcc_cr = CONTROLLER, 0x5800_0000
    for latency, range_, wrong in ((0, 8, False), (2, 11, False), (1, 11, True)):
        probe.write(acr, latency)
        probe.write(rcc_cr, range_ << 4 | 0xB)
        assert any("wait states" in sentence for sentence in probe.board.complaints) is wrong
