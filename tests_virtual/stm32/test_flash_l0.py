"""lorafab/virtual/stm32/flash_l0.py with eeprom_l0.py and options_l0.py: the STM32L0's memories, rule by rule."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafab.virtual.board import Board
from lorafab.virtual.bus import BusFault, BusStall
from lorafab.virtual.faults import FaultPlan
from lorafab.virtual.stm32.flash_l0 import OPTKEYS, PEKEYS, PRGKEYS
from lorafab.virtual.stm32.options_l0 import complete
from tests_virtual.silicon.rig import AIRCR, DHCSR, Debugger

FLASH, BANK_2, EEPROM, EEPROM_2 = 0x0800_0000, 0x0801_8000, 0x0808_0000, 0x0808_0C00
OPTIONS, UID, SIZE, SRAM = 0x1FF8_0000, 0x1FF8_0050, 0x1FF8_007C, 0x2000_0000
PECR, PEKEYR, PRGKEYR, OPTKEYR, SR, OPTR, WRPR, WRPR2 = (
    0x4002_2000 + offset for offset in (0x04, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x80)
)
PELOCK, PRGLOCK, OPTLOCK, PROG, DATA, FIX, ERASE, FPRG = 1, 2, 4, 8, 16, 1 << 8, 1 << 9, 1 << 10
EOPIE, OBL_LAUNCH, NZDISABLE = 1 << 16, 1 << 18, 1 << 22
BSY, EOP, READY, WRPERR, PGAERR, SIZERR, OPTVERR = 1, 2, 8, 1 << 8, 1 << 9, 1 << 10, 1 << 11
NOTZEROERR, FWWERR = 1 << 16, 1 << 17
ERRORS = WRPERR | PGAERR | SIZERR | OPTVERR | NOTZEROERR | FWWERR
TPROG = 3_280_000
NVIC_ISPR = 0xE000_E200

PLACE = FLASH + 0x1000
WORD = 0x4433_2211
STORES = bytes.fromhex("01600430013afbd100be")
"""str r1, [r0]; adds r0, #4; subs r2, #1; bne back; bkpt."""


class Nvm(Debugger):
    """A debugger's hands on an STM32L072."""

    def open(self) -> "Nvm":
        """Undo the locks of EEPROM and flash."""
        for lock, register, keys in ((PELOCK, PEKEYR, PEKEYS), (PRGLOCK, PRGKEYR, PRGKEYS)):
            if self.read(PECR) & lock:
                for key in keys:
                    self.write(register, key)
        return self

    def open_options(self) -> None:
        """Undo the locks of EEPROM and option bytes."""
        if self.open().read(PECR) & OPTLOCK:
            for key in OPTKEYS:
                self.write(OPTKEYR, key)

    def settled(self) -> int:
        """Error flags and EOP when the operation is over; they are cleared."""
        for _ in range(5):
            status = self.read(SR)
            if not status & BSY:
                self.write(SR, ERRORS | EOP)
                return status & (ERRORS | EOP)
        raise AssertionError(f"still busy: SR {status:#x}")

    def mode(self, bits: int) -> None:
        """Select what the next store does."""
        self.write(PECR, bits)

    def put(self, address: int, value: int, size: int = 4) -> int:
        """One store and its result."""
        self.write(address, value, size)
        return self.settled()

    def half_page(self, address: int, words: list[int]) -> int:
        """Load words one after the other, and the result."""
        self.mode(FPRG | PROG)
        for n, word in enumerate(words):
            self.write(address + 4 * n, word)
        status = self.settled()
        self.mode(0)
        return status

    def erase(self, address: int) -> int:
        """Erase the page that begins there."""
        self.mode(ERASE | PROG)
        status = self.put(address, 0)
        self.mode(0)
        return status

    def option(self, index: int, word: int) -> int:
        """Program an option word."""
        self.open_options()
        return self.put(OPTIONS + 4 * index, word)

    def launch(self) -> None:
        """OBL_LAUNCH, a reset."""
        self.mode(OBL_LAUNCH)

    def power_cycle(self) -> None:
        """Off and on."""
        self.board.power(False)
        self.board.power(True)

    def duration(self, action: Callable[[], object]) -> int:
        """Simulated ns that an action takes until the controller is ready."""
        start = self.board.clock.now_ns
        action()
        self.settled()
        return self.board.clock.now_ns - start

    def call(self, code: int, *arguments: int) -> None:
        """Let the core run from ``code`` with r0, r1..., and stop nowhere."""
        for number, value in enumerate(arguments):
            self.set_register(number, value)
        self.set_register(15, code)
        self.set_register(16, 1 << 24)
        self.write(DHCSR, 0xA05F_0009)  # C_MASKINTS

    def reset(self) -> None:
        """System reset by the debugger, and halt again."""
        self.write(AIRCR, 0x05FA_0004)
        self.board.advance(1000)
        self.write(DHCSR, 0xA05F_0003)


Bench = Callable[..., Nvm]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Makes a debugger on a board; a second call opens the same file again."""
    made: list[Nvm] = []

    def make(faults: str = "") -> Nvm:
        for old in made:
            old.board.close()
        board = Board.open(tmp_path / "b.board", chip="l072", faults=FaultPlan.parse(faults))
        made.append(Nvm(board))
        return made[-1]

    yield make
    for debugger in made:
        debugger.board.close()


@pytest.fixture
def probe(bench: Bench) -> Nvm:
    """A debugger on a blank board with its memories unlocked."""
    return bench().open()


def faulty(probe: Nvm, address: int) -> bool:
    """Whether a read ends in a bus fault."""
    try:
        probe.read(address)
    except BusFault:
        return True
    return False


# locks


def test_a_new_part_reads_zero_and_is_locked(bench: Bench) -> None:
    """Erased memory is 0x00; PECR shows three locks; SR says ready and high voltage off."""
    probe = bench()
    assert [probe.read(at) for at in (FLASH, FLASH + 0x2_FFFC, EEPROM, EEPROM + 0x17FC, 0)] == [0] * 5
    assert probe.read(PECR) == PELOCK | PRGLOCK | OPTLOCK
    assert probe.read(SR) == 0xC


def test_locked_memory_refuses(bench: Bench) -> None:
    """Each lock by itself: WRPERR, and nothing changes."""
    probe = bench()
    assert [probe.put(at, WORD) for at in (PLACE, EEPROM, OPTIONS)] == [WRPERR] * 3
    for key in PEKEYS:
        probe.write(PEKEYR, key)
    assert probe.put(PLACE, WORD) == WRPERR
    assert probe.put(EEPROM, WORD) == EOP
    assert (probe.read(PLACE), probe.read(EEPROM)) == (0, WORD)


def test_closing_pelock_closes_all(probe: Nvm) -> None:
    """PECR cannot be written then, modes are gone, and each memory needs its keys again."""
    probe.mode(ERASE | PROG)
    probe.mode(PELOCK)
    assert probe.read(PECR) == PELOCK | PRGLOCK | OPTLOCK
    probe.mode(PROG)
    assert probe.read(PECR) == PELOCK | PRGLOCK | OPTLOCK
    assert "PELOCK" in probe.board.complaints[-1]
    probe.open()
    assert probe.read(PECR) == OPTLOCK


@pytest.mark.parametrize(("register", "key"), [(PEKEYR, 1), (PRGKEYR, PEKEYS[0]), (OPTKEYR, 1)])
def test_a_wrong_key_locks_until_reset(bench: Bench, register: int, key: int) -> None:
    """It is a bus error, and so are the right keys from then on."""
    probe = bench()
    if register != PEKEYR:
        for right in PEKEYS:
            probe.write(PEKEYR, right)
    with pytest.raises(BusFault):
        probe.write(register, key)
    right = {PEKEYR: PEKEYS, PRGKEYR: PRGKEYS, OPTKEYR: OPTKEYS}[register][0]
    with pytest.raises(BusFault):
        probe.write(register, right)
    probe.reset()
    probe.open_options()
    assert probe.read(PECR) == 0


# flash


def test_a_word_is_programmed_once(probe: Nvm) -> None:
    """Bits of a word that is not zero stay as they are: NOTZEROERR; a page erase makes it writable again."""
    assert probe.put(PLACE, WORD) == EOP
    assert probe.put(PLACE, 0xFFFF_FFFF) == NOTZEROERR
    assert probe.read(PLACE) == probe.read(PLACE - FLASH) == WORD
    assert probe.erase(PLACE) == EOP
    assert probe.put(PLACE, 0xFFFF_FFFF) == EOP


def test_the_check_for_zero_can_be_switched_off(probe: Nvm) -> None:
    """NZDISABLE: bits are added."""
    probe.put(PLACE, 0x0F)
    probe.mode(NZDISABLE)
    assert probe.put(PLACE, 0xF1) == EOP
    assert probe.read(PLACE) == 0xFF


@pytest.mark.parametrize("size", [1, 2])
def test_flash_takes_whole_words_only(probe: Nvm, size: int) -> None:
    """Smaller stores are SIZERR, in every mode."""
    assert probe.put(PLACE, 0x11, size) == SIZERR
    probe.mode(FPRG | PROG)
    assert probe.put(PLACE, 0x11, size) == SIZERR
    assert probe.read(PLACE) == 0


def test_a_page_erase_takes_its_page_only(probe: Nvm) -> None:
    """128 bytes become zero, the neighbours stay; it begins with the page's first word or not at all."""
    for at in (PLACE - 4, PLACE, PLACE + 124, PLACE + 128):
        probe.put(at, WORD)
    assert probe.erase(PLACE + 4) == PGAERR
    assert probe.erase(PLACE) == EOP
    assert [probe.read(at) for at in (PLACE - 4, PLACE, PLACE + 124, PLACE + 128)] == [WORD, 0, 0, WORD]


def test_a_half_page_takes_as_long_as_a_word(probe: Nvm) -> None:
    """Sixteen words at once; a page erase takes that long, too."""
    words = [0x1000 + n for n in range(16)]
    assert probe.half_page(PLACE, words) == EOP
    assert [probe.read(PLACE + 4 * n) for n in range(16)] == words
    spans = [
        probe.duration(lambda: probe.write(PLACE + 128, WORD)),
        probe.duration(lambda: probe.half_page(PLACE + 192, words)),
        probe.duration(lambda: probe.erase(PLACE)),
    ]
    assert all(TPROG <= span < TPROG + 500_000 for span in spans)


def test_a_half_page_begins_at_its_beginning(probe: Nvm) -> None:
    """Otherwise PGAERR at the first word."""
    probe.mode(FPRG | PROG)
    assert probe.put(PLACE + 4, WORD) == PGAERR


def test_a_half_page_does_not_go_over_its_end(probe: Nvm) -> None:
    """A word elsewhere gives it all up, and nothing is written."""
    probe.mode(FPRG | PROG)
    for n in range(15):
        probe.write(PLACE + 4 * n, WORD)
    assert probe.put(PLACE + 64, WORD) == PGAERR
    assert [probe.read(PLACE + 4 * n) for n in range(17)] == [0] * 17


def test_the_words_of_a_half_page_may_all_go_to_one_address(probe: Nvm) -> None:
    """The controller counts by itself."""
    probe.mode(FPRG | PROG)
    for n in range(16):
        probe.write(PLACE, n + 1)
    assert probe.settled() == EOP
    assert [probe.read(PLACE + 4 * n) for n in range(16)] == list(range(1, 17))


def test_one_used_word_keeps_a_half_page_from_being_written(probe: Nvm) -> None:
    """NOTZEROERR, and the other fifteen stay zero."""
    probe.put(PLACE + 60, WORD)
    assert probe.half_page(PLACE, [WORD] * 16) == NOTZEROERR
    assert [probe.read(PLACE + 4 * n) for n in range(16)] == [0] * 15 + [WORD]


def test_an_abandoned_half_page_is_forgotten(probe: Nvm) -> None:
    """Clearing FPRG in the middle; the next one starts afresh."""
    probe.mode(FPRG | PROG)
    probe.write(PLACE, 1)
    probe.mode(0)
    assert probe.half_page(PLACE + 64, list(range(1, 17))) == EOP
    assert probe.read(PLACE) == 0


def test_unknown_modes_are_complained_about(probe: Nvm) -> None:
    """Nothing is written, and the board says what it was asked."""
    for at, bits in ((PLACE, ERASE), (PLACE, FPRG), (EEPROM, FPRG | DATA), (EEPROM, ERASE)):
        probe.mode(bits)
        assert probe.put(at, WORD) == PGAERR
        assert "is no known operation" in probe.board.complaints[-1]
        assert probe.read(at) == 0


def test_both_banks_at_once_is_refused_visibly(probe: Nvm) -> None:
    """PARALLBANK is a bus fault and a complaint."""
    with pytest.raises(BusFault, match="PARALLBANK"):
        probe.mode(1 << 15)
    assert "PARALLBANK" in probe.board.complaints[-1]


def test_the_end_of_an_operation_can_interrupt(probe: Nvm) -> None:
    """EOPIE: FLASH is interrupt 3; without it nothing is pending."""
    probe.put(PLACE, WORD)
    assert not probe.read(NVIC_ISPR) & 8
    probe.mode(EOPIE)
    probe.write(PLACE + 4, WORD)
    assert not probe.read(NVIC_ISPR) & 8
    probe.board.advance(TPROG)
    assert probe.read(NVIC_ISPR) & 8


# two banks


def test_a_debugger_waits_for_the_bank_that_is_busy_only(probe: Nvm) -> None:
    """Flash and EEPROM of the other bank can be read meanwhile."""
    for place, same, other in (
        (PLACE, (FLASH, BANK_2 - 4, EEPROM, 0), (BANK_2, EEPROM_2, BANK_2 - FLASH)),
        (BANK_2, (BANK_2, FLASH + 0x2_FFFC, EEPROM_2), (FLASH, EEPROM, EEPROM_2 - 4)),
    ):
        probe.write(place, WORD)
        for at in same:
            with pytest.raises(BusStall):
                probe.board.mem_read(at, 4)
        assert [probe.board.mem_read(at, 4) for at in other] == [0 if at != place else WORD for at in other]
        assert probe.settled() == EOP
        probe.erase(place)


@pytest.mark.parametrize(("target", "waits"), [(PLACE, True), (BANK_2, False), (EEPROM, True), (EEPROM_2, False)])
def test_code_stands_still_while_its_own_bank_is_written(probe: Nvm, target: int, waits: bool) -> None:
    """A program in bank 1 stores a word: into its own bank it goes on 3.28 ms later, into the other at once."""
    code = FLASH + 0x800
    for n in range(0, len(STORES), 4):
        probe.put(code + n, int.from_bytes(STORES[n : n + 4].ljust(4, b"\0"), "little"))
    start_ns = probe.board.clock.now_ns
    probe.call(code, target, WORD, 1)
    while not probe.halted():
        probe.board.advance(10_000)
    assert (probe.board.clock.now_ns - start_ns >= TPROG) is waits
    assert probe.settled() == EOP
    assert probe.read(target) == WORD


@pytest.mark.parametrize("code", [SRAM, FLASH + 0x800])
def test_half_pages_are_loaded_by_code_in_ram(probe: Nvm, code: int) -> None:
    """A fetch from flash while the words are loaded gives the operation up, even for the other bank: FWWERR."""
    for n in range(0, len(STORES), 4):
        probe.put(code + n, int.from_bytes(STORES[n : n + 4].ljust(4, b"\0"), "little"))
    probe.mode(FPRG | PROG)
    probe.call(code, BANK_2, WORD, 16)
    probe.board.advance(2 * TPROG)
    assert probe.halted()
    assert probe.settled() == (EOP if code == SRAM else FWWERR)
    assert [probe.read(BANK_2 + 4 * n) for n in range(17)] == [WORD if code == SRAM else 0] * 16 + [0]


# data EEPROM


def test_eeprom_takes_bytes_half_words_and_words(probe: Nvm) -> None:
    """Over whatever is there, without erasing first; the rest of the word stays."""
    assert probe.put(EEPROM, WORD) == EOP
    assert probe.put(EEPROM + 1, 0xAA, 1) == EOP
    assert probe.put(EEPROM + 2, 0xBBCC, 2) == EOP
    assert probe.read(EEPROM) == 0xBBCC_AA11
    assert probe.read(EEPROM + 1, 1) == 0xAA
    assert probe.put(EEPROM + 0x17FC, WORD) == EOP


def test_an_eeprom_write_erases_where_it_must(probe: Nvm) -> None:
    """A zero word takes one Tprog, another two, a word that becomes zero one; with FIX always two."""

    def time(value: int) -> int:
        return round(probe.duration(lambda: probe.write(EEPROM, value)) / TPROG)

    assert [time(1), time(2), time(0), time(0)] == [1, 2, 1, 1]
    probe.mode(FIX)
    assert [time(0), time(1), time(2)] == [2, 2, 2]


def test_an_eeprom_word_can_be_erased(probe: Nvm) -> None:
    """ERASE and DATA: the word becomes zero whatever is written, its neighbours stay."""
    for n in range(3):
        probe.put(EEPROM + 4 * n, WORD)
    probe.mode(ERASE | DATA)
    assert probe.put(EEPROM + 4, WORD) == EOP
    assert [probe.read(EEPROM + 4 * n) for n in range(3)] == [WORD, 0, WORD]


def test_behind_the_eeprom_is_nothing(probe: Nvm) -> None:
    """A debugger gets a bus fault right behind its last word."""
    assert not faulty(probe, EEPROM + 0x17FC)
    assert faulty(probe, EEPROM + 0x1800)


def test_both_memories_survive_in_the_file(bench: Bench, probe: Nvm) -> None:
    """Power off, another process: the same bytes."""
    probe.put(PLACE, WORD)
    probe.put(EEPROM + 8, WORD)
    again = bench()
    assert (again.read(PLACE), again.read(EEPROM + 8)) == (WORD, WORD)


# option bytes and protection


def test_option_bytes_as_delivered(bench: Bench) -> None:
    """OPTR as of a new part: level 0; each word with its complement; no sector protected."""
    probe = bench()
    assert probe.read(OPTR) == 0x8070_00AA
    assert [probe.read(OPTIONS + 4 * n) for n in range(5)] == [0xFF55_00AA, 0x7F8F_8070, *[0xFFFF_0000] * 3]
    assert (probe.read(WRPR), probe.read(WRPR2)) == (0, 0)


def test_identity_lies_where_the_manual_says(bench: Bench) -> None:
    """The unique id's third word is apart; the flash size is a half-word; none of it can be written."""
    probe = bench()
    words = [probe.read(UID + at) for at in (0, 4, 0x14)]
    assert b"".join(word.to_bytes(4, "little") for word in words).hex().upper() == probe.board.chip_id
    assert probe.read(SIZE, 2) == 192
    probe.open_options()
    assert probe.put(UID, 0) == WRPERR
    assert probe.read(UID) == words[0]


def test_write_protection_holds_after_loading(bench: Bench) -> None:
    """Sectors 1 and 33 of 4 KiB: nothing can be programmed or erased there, next to them it can."""
    probe = bench()
    assert probe.option(2, complete(1 << 1)) == EOP
    assert probe.option(4, complete(1 << 1)) == EOP
    assert probe.put(FLASH + 0x1000, WORD) == EOP, "not yet in force"
    probe.launch()
    assert (probe.read(WRPR), probe.read(WRPR2)) == (1 << 1, 1 << 1)
    probe.open()
    for place in (FLASH + 0x1000, FLASH + 0x2_1000):
        assert probe.put(place + 8, WORD) == WRPERR
        assert probe.erase(place) == WRPERR
        assert probe.put(place - 4, WORD) == EOP
    assert probe.read(FLASH + 0x1000) == WORD


def test_option_words_need_their_keys_and_their_size(bench: Bench) -> None:
    """OPTLOCK: WRPERR; a half-word: SIZERR."""
    probe = bench().open()
    assert probe.put(OPTIONS, complete(0xBB)) == WRPERR
    for key in OPTKEYS:
        probe.write(OPTKEYR, key)
    assert probe.put(OPTIONS, 0xBB, 2) == SIZERR
    assert probe.read(OPTIONS) == complete(0xAA)


@pytest.mark.parametrize("word", [complete(0xBB), complete(0), 0x1234_00AA])
def test_level_1_hides_both_memories_from_a_debugger(bench: Bench, word: int) -> None:
    """Any value but two, and a word that does not fit its complement: RAM and option bytes stay open."""
    probe = bench().open()
    probe.put(PLACE, WORD)
    probe.put(EEPROM, WORD)
    probe.option(0, word)
    probe.power_cycle()
    assert [faulty(probe, at) for at in (FLASH, PLACE, 0, EEPROM, EEPROM_2)] == [True] * 5
    assert [faulty(probe, at) for at in (SRAM, OPTIONS, UID, OPTR)] == [False] * 4
    probe.open()
    with pytest.raises(BusFault):
        probe.write(PLACE + 4, WORD)
    with pytest.raises(BusFault):
        probe.write(EEPROM + 4, WORD)
    content = probe.board.path.read_bytes()
    assert content[0x1000:0x1008] == WORD.to_bytes(4, "little") + bytes(4)


def test_going_back_to_level_0_erases_flash_and_eeprom(bench: Bench) -> None:
    """Keys in the EEPROM do not survive; the part opens at the next loading and works again."""
    probe = bench().open()
    probe.put(PLACE, WORD)
    probe.put(EEPROM, WORD)
    probe.option(0, complete(0xBB))
    probe.power_cycle()
    assert probe.option(0, complete(0xAA)) == EOP
    assert faulty(probe, PLACE), "not before the options are loaded"
    probe.launch()
    assert (probe.read(PLACE), probe.read(EEPROM), probe.read(OPTR) & 0xFF) == (0, 0, 0xAA)
    probe.open()
    assert probe.put(PLACE, WORD) == EOP


def test_a_planned_level_can_be_given_up(bench: Bench) -> None:
    """rdp=1 of the fault plan ends as a real level 1 does."""
    probe = bench("rdp=1")
    assert faulty(probe, PLACE)
    assert probe.option(0, complete(0xAA)) == EOP
    probe.launch()
    assert (probe.read(PLACE), probe.read(OPTR) & 0xFF) == (0, 0xAA)


def test_going_to_level_1_erases_nothing(bench: Bench) -> None:
    """The part's own program still finds its data."""
    probe = bench().open()
    probe.put(EEPROM, WORD)
    probe.option(0, complete(0xBB))
    probe.power_cycle()
    probe.option(0, complete(0xBC))
    again = bench("rdp=0")
    assert again.read(EEPROM) == WORD


def test_level_2_is_for_ever(bench: Bench) -> None:
    """The debug port is dead after the next power-on."""
    probe = bench()
    probe.option(0, complete(0xCC))
    probe.power_cycle()
    assert not probe.board.debug_enabled(0)


def test_words_that_do_not_fit_are_flagged_and_safe(bench: Bench) -> None:
    """OPTVERR; a write protection word counts as all sectors."""
    probe = bench()
    probe.option(2, 0x0000_0001)
    probe.power_cycle()
    assert probe.read(SR) & OPTVERR
    assert probe.read(WRPR) == 0xFFFF
    probe.open()
    assert probe.put(FLASH, WORD) & WRPERR


def test_a_power_cut_while_an_option_word_is_written_ends_at_level_1(bench: Bench) -> None:
    """What is torn does not fit, and the safest value counts."""
    probe = bench()
    probe.open_options()
    probe.write(OPTIONS, complete(0x1AA))
    probe.power_cycle()
    assert faulty(probe, FLASH)
    assert probe.read(SR) & OPTVERR


def test_what_is_not_modelled_is_said_at_loading(bench: Bench) -> None:
    """PCROP and a boot from bank 2."""
    probe = bench()
    probe.option(0, complete(0x1AA))
    probe.option(1, complete(0x80F0))
    probe.launch()
    said = " ".join(probe.board.complaints)
    assert "PCROP" in said
    assert "BFB2" in said


# what goes wrong


@pytest.mark.parametrize("place", [PLACE, EEPROM])
def test_a_torn_word_reads_as_something_else(probe: Nvm, place: int) -> None:
    """Half of its bits are done after a power cut; nothing faults, and it can be erased and written again."""
    probe.write(place, 0xFFFF_FFFF)
    probe.power_cycle()
    probe.open()
    torn = probe.read(place)
    assert torn not in (0, 0xFFFF_FFFF)
    if place == PLACE:
        assert probe.put(place, WORD) == NOTZEROERR
        assert probe.erase(place) == EOP
    assert probe.put(place, WORD) == EOP
    assert probe.read(place) == WORD


def test_a_reset_tears_a_half_page(probe: Nvm) -> None:
    """Some of its words are done in part, the rest of the page is untouched."""
    probe.mode(FPRG | PROG)
    for n in range(16):
        probe.write(PLACE + 4 * n, 0xFFFF_FFFF)
    probe.reset()
    found = [probe.read(PLACE + 4 * n) for n in range(32)]
    assert found[:16] != [0] * 16
    assert found[:16] != [0xFFFF_FFFF] * 16
    assert found[16:] == [0] * 16


@pytest.mark.parametrize("place", [PLACE + 8, EEPROM + 8])
def test_the_fault_plan_cuts_the_power_in_a_word(bench: Bench, place: int) -> None:
    """By address, in either memory; afterwards the board has no power."""
    plan = FaultPlan.parse(f"power_cut@address:{PLACE + 8:#x}" if place < EEPROM else "power_cut@word:3")
    assert plan.faults
    probe = bench(str(plan)).open()
    for n in range(2):
        assert probe.put(place - 8 + 4 * n, WORD) == EOP
    probe.write(place, WORD)
    probe.board.advance(TPROG)
    assert not probe.board.powered


def test_stuck_bits_keys_that_are_not_taken_and_slow_erases(bench: Bench) -> None:
    """The fault plan's troubles of the flash."""
    probe = bench(f"stuck_bit={PLACE:#x}.0=1; slow_erase=10; wrp=2").open()
    assert probe.read(PLACE) == 1
    assert probe.put(PLACE + 4, 0x10) == EOP
    assert probe.duration(lambda: probe.erase(PLACE)) > 9 * TPROG
    assert (probe.read(PLACE), probe.read(PLACE + 4)) == (1, 0)
    assert probe.put(FLASH + 2 * 4096, WORD) == WRPERR
    locked = bench("key_lock")
    for key in PEKEYS:
        locked.write(PEKEYR, key)
    assert locked.read(PECR) & PELOCK
