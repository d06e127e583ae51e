"""lorafab/virtual/nrf52/nvmc.py: the rules of the flash and of UICR, as a debugger and a program meet them."""

import pytest

from lorafab.virtual.bus import BusFault, BusStall
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import (
    AIRCR,
    C0,
    CONFIG,
    DCRDR,
    DCRSR,
    DHCSR,
    ERASEALL,
    ERASEPAGE,
    ERASEUICR,
    FICR,
    MS,
    PARTIAL,
    PARTIALCFG,
    RAM,
    READY,
    READYNEXT,
    SYSRESETREQ,
    UICR,
    UICR_APPROTECT,
    Boards,
    Probe,
)

PLACE = 0x8_0000
ERASED = 0xFFFF_FFFF


def test_a_write_only_clears_bits(probe: Probe) -> None:
    """The second write to a word is the AND of both, in the core's memory and in the file."""
    probe.store(PLACE, 0x1234_5678)
    probe.store(PLACE, 0xFFFF_00FF)
    assert probe.read(PLACE) == 0x1234_0078
    assert probe.board.path.read_bytes()[PLACE : PLACE + 4] == bytes.fromhex("78003412")
    assert "NVMC" not in probe.complaints


def test_a_third_write_is_one_too_many(probe: Probe) -> None:
    """The board complains, the word is not what was asked for, and an erase makes it good again."""
    for value in (0xFFFF_FFF0, 0xFFFF_FF00, 0):
        probe.store(PLACE, value)
    assert "was written twice" in probe.complaints
    assert probe.read(PLACE) not in (0, 0xFFFF_FF00)
    probe.erase(ERASEPAGE, PLACE)
    probe.store(PLACE, 0)
    assert probe.read(PLACE) == 0


@pytest.mark.parametrize(("address", "size"), [(PLACE, 1), (PLACE, 2), (PLACE + 2, 2)])
def test_only_whole_words_can_be_written(probe: Probe, address: int, size: int) -> None:
    """Anything smaller is a bus fault, and nothing changes."""
    probe.write(CONFIG, 1)
    with pytest.raises(BusFault):
        probe.write(address, 0, size)
    assert probe.read(PLACE) == ERASED


def test_nothing_is_written_while_config_forbids_it(probe: Probe) -> None:
    """A bus fault in read-only and in erase mode."""
    for config in (0, 2):
        probe.write(CONFIG, config)
        with pytest.raises(BusFault):
            probe.write(PLACE, 0)
    assert probe.read(PLACE) == ERASED


def test_the_factorys_data_cannot_be_changed(probe: Probe) -> None:
    """FICR answers a write with a bus fault."""
    probe.write(CONFIG, 1)
    with pytest.raises(BusFault):
        probe.write(FICR + 0x60, 0)
    assert probe.read(FICR + 0x60).to_bytes(4, "little") == b"LFVB"


def test_times(probe: Probe) -> None:
    """A word 41 us, a page 85 ms, everything 169 ms."""
    probe.write(CONFIG, 1)
    probe.write(PLACE, 0)
    assert probe.board.silicon.flash.busy_until - probe.now_ns == 41_000
    probe.ready()
    assert probe.erase(ERASEPAGE, PLACE) // MS == 85
    assert probe.erase(ERASEALL, 1) // MS == 169


def test_slow_erase_takes_longer(boards: Boards) -> None:
    """The fault plan's factor stretches erases, CTRL-AP's included."""
    probe = boards(faults="slow_erase=10")
    probe.unlock()
    assert probe.erase(ERASEPAGE, PLACE) // MS == 850


def test_an_erase_clears_one_page(probe: Probe) -> None:
    """The neighbours keep their content."""
    for page in (127, 128, 129):
        probe.store(page * 4096, 0)
    probe.erase(ERASEPAGE, 128 * 4096)
    assert [probe.read(page * 4096) for page in (127, 128, 129)] == [0, ERASED, 0]


@pytest.mark.parametrize("value", [0x8_0004, 0x10_0000])
def test_an_erase_wants_the_address_of_a_page(probe: Probe, value: int) -> None:
    """Otherwise nothing happens, and the board says so."""
    probe.store(PLACE, 0)
    probe.erase(ERASEPAGE, value)
    assert probe.read(PLACE) == 0
    assert "is not the address of a page" in probe.complaints


def test_an_erase_must_be_enabled(probe: Probe) -> None:
    """Without CONFIG.EEN it is ignored, and the board says so."""
    probe.store(PLACE, 0)
    probe.write(ERASEPAGE, PLACE)
    assert probe.read(READY) == 1
    assert probe.read(PLACE) == 0
    assert "does not enable erasing" in probe.complaints


def test_eraseall_clears_flash_and_uicr(probe: Probe) -> None:
    """Both read as erased, and can be written again."""
    probe.store(PLACE, 0)
    probe.store(UICR_APPROTECT, 0xFFFF_FF5A)
    probe.erase(ERASEALL, 1)
    assert (probe.read(PLACE), probe.read(UICR_APPROTECT)) == (ERASED, ERASED)
    probe.store(PLACE, 1)
    assert probe.read(PLACE) == 1


def test_eraseuicr_leaves_the_flash_alone(probe: Probe) -> None:
    """UICR has its own erase."""
    probe.store(PLACE, 0)
    probe.store(UICR + 0x80, 0x1234)
    probe.erase(ERASEUICR, 1)
    assert (probe.read(PLACE), probe.read(UICR + 0x80)) == (0, ERASED)


def test_uicr_is_erased_by_no_page_erase(probe: Probe) -> None:
    """ERASEPAGE refuses its address."""
    probe.store(UICR + 0x80, 0x1234)
    probe.erase(ERASEPAGE, UICR)
    assert probe.read(UICR + 0x80) == 0x1234


def test_slices_add_up_to_an_erase(probe: Probe) -> None:
    """Eight slices of 10 ms leave the page undefined, the ninth erases it."""
    probe.store(PLACE, 0)
    probe.write(PARTIALCFG, 10)
    for _ in range(8):
        assert probe.erase(PARTIAL, PLACE) // MS == 10
    assert probe.read(PLACE) not in (0, ERASED)
    probe.erase(PARTIAL, PLACE)
    assert probe.read(PLACE) == ERASED
    probe.store(PLACE, 7)
    assert probe.read(PLACE) == 7


def test_a_slice_that_was_cut_short_does_not_count(probe: Probe) -> None:
    """A reset in the middle of 80 ms: another 10 ms do not make an erased page of it."""
    probe.store(PLACE, 0)
    probe.write(PARTIALCFG, 80)
    probe.write(CONFIG, 2)
    probe.write(PARTIAL, PLACE)
    probe.board.advance(1 * MS)
    probe.write(AIRCR, SYSRESETREQ)
    probe.board.advance(1 * MS)
    probe.halt()
    probe.write(PARTIALCFG, 10)
    probe.erase(PARTIAL, PLACE)
    assert probe.read(PLACE) not in (0, ERASED)


def test_one_write_is_buffered(probe: Probe) -> None:
    """READYNEXT says whether another write is taken; READY waits for both."""
    probe.write(CONFIG, 1)
    started = probe.now_ns
    memory = probe.board.mem_write
    memory(PLACE, 4, 1)
    assert probe.board.mem_read(READYNEXT, 4) == 1
    memory(PLACE + 4, 4, 2)
    assert probe.board.mem_read(READYNEXT, 4) == 0
    probe.ready()
    probe.ready()
    assert probe.now_ns - started >= 82_000
    assert [probe.read(PLACE), probe.read(PLACE + 4)] == [1, 2]


def test_a_debuggers_read_is_held_during_an_erase(probe: Probe) -> None:
    """The bus says until when."""
    probe.write(CONFIG, 2)
    probe.write(ERASEPAGE, PLACE)
    with pytest.raises(BusStall) as stall:
        probe.board.mem_read(0, 4)
    assert stall.value.until_ns - probe.now_ns == 85 * MS


def test_a_debuggers_writes_are_held_during_an_operation(probe: Probe) -> None:
    """Of a register during an erase, and of a third word: no time passes behind the debugger's back."""
    probe.write(CONFIG, 2)
    probe.write(ERASEPAGE, PLACE)
    now_ns = probe.now_ns
    with pytest.raises(BusStall) as caught:
        probe.board.mem_write(CONFIG, 4, 1)
    assert probe.now_ns == now_ns
    assert 0 < caught.value.until_ns - now_ns <= 85 * MS
    probe.write(CONFIG, 1)
    for at in range(2):
        probe.board.mem_write(PLACE + 4 * at, 4, at)
    with pytest.raises(BusStall):
        probe.board.mem_write(PLACE + 8, 4, 2)


def test_polling_for_ready_is_cheap(probe: Probe) -> None:
    """The first look sees it busy, the second lets time jump."""
    probe.write(CONFIG, 2)
    probe.write(ERASEPAGE, PLACE)
    assert [probe.read(READY), probe.read(READY)] == [0, 1]


def test_a_reset_tears_what_is_in_flight(probe: Probe) -> None:
    """A page under erase is neither what it was nor erased, until it is erased again."""
    probe.store(PLACE, 0x1234_5678)
    probe.write(CONFIG, 2)
    probe.write(ERASEPAGE, PLACE)
    probe.write(0xE000_ED0C, 0x05FA_0004)
    assert probe.read(PLACE) not in (0x1234_5678, ERASED)
    probe.halt()
    probe.erase(ERASEPAGE, PLACE)
    assert probe.read(PLACE) == ERASED


def test_a_power_cut_tears_the_word(boards: Boards) -> None:
    """Part of its bits are cleared, and that is what the next power-on finds; nothing faults."""
    probe = boards(faults=f"power_cut@address:{PLACE:#x}")
    probe.unlock()
    probe.write(CONFIG, 1)
    probe.write(PLACE, 0)
    probe.board.advance(1 * MS)
    assert not probe.board.powered
    word = int.from_bytes(probe.board.path.read_bytes()[PLACE : PLACE + 4], "little")
    assert word not in (0, ERASED)


def test_a_stuck_bit_stays(boards: Boards) -> None:
    """Whatever is written or erased."""
    probe = boards(faults=f"stuck_bit={PLACE:#x}.3=0")
    probe.unlock()
    assert probe.read(PLACE) == 0xFFFF_FFF7
    probe.erase(ERASEPAGE, PLACE)
    assert probe.read(PLACE) == 0xFFFF_FFF7


def test_contents_outlive_power(boards: Boards) -> None:
    """Flash and UICR are in the file; so is how often a word was written."""
    probe = boards()
    probe.unlock()
    probe.store(PLACE, 0xFFFF_FFF0)
    probe.store(PLACE, 0xFFFF_FF00)
    probe.store(UICR + 0x80, 0xABCD)
    probe.board.close()
    again = boards(chip=probe.board.chip)
    assert again.board.silicon.flash.uicr_word(0x80) == 0xABCD
    assert again.board.silicon.flash.code.store.state(PLACE // 4) == 3


def test_anomaly_184_is_for_early_parts(boards: Boards) -> None:
    """There an operation takes longer when a debugger starts it while the core runs; from D0 on it does not."""
    early = boards(chip=C0, program=SHELL)
    assert early.erase(ERASEPAGE, PLACE) // MS == 340
    assert "anomaly 184" in early.complaints
    early.halt()
    assert early.erase(ERASEPAGE, PLACE) // MS == 85


def test_the_reset_pin_is_made_by_uicr(probe: Probe) -> None:
    """Both PSELRESET words name the same pin; one is not enough."""
    flash = probe.board.silicon.flash
    assert not flash.reset_pin_enabled()
    probe.store(UICR + 0x200, 18)
    assert not flash.reset_pin_enabled()
    probe.store(UICR + 0x204, 18)
    assert flash.reset_pin_enabled()


# what a program meets


def test_a_program_writes_flash_from_flash(boards: Boards) -> None:
    """The core stands still during 85 ms and two words; bits go down only."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    assert shell.ask("W", 80) == ""
    assert shell.ask("", 30) == "12340078\n"
    assert not shell.complaints


@pytest.mark.parametrize(("letter", "why"), [("B", "whole aligned words only"), ("N", "does not enable writing")])
def test_a_programs_bad_store_is_a_fault(boards: Boards, letter: str, why: str) -> None:
    """A byte, and a word without write enable, end in the HardFault handler, and the flash is as before."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    assert shell.ask(letter) == "fault\n"
    assert why in shell.complaints
    assert shell.board.path.read_bytes()[0xFF000:0xFF004] == b"\xff" * 4


def test_code_in_ram_runs_on_during_an_erase(probe: Probe) -> None:
    """Only code in flash stands still."""
    loop = bytes.fromhex("0130fde7")  # adds r0, #1; b back
    probe.put(RAM, loop)
    for number, value in ((0, 0), (15, RAM), (16, 0x0100_0000)):
        probe.write(DCRDR, value)
        probe.write(DCRSR, 1 << 16 | number)
    probe.write(CONFIG, 2)
    probe.write(ERASEPAGE, PLACE)
    probe.write(DHCSR, 0xA05F_0001)
    probe.board.advance(1 * MS)
    probe.halt()
    probe.write(DCRSR, 0)
    assert probe.read(DCRDR) > 10_000
    assert probe.read(READY) == 0


def test_a_programs_store_to_ficr_is_a_fault(probe: Probe) -> None:
    """And what the factory wrote is as before."""
    probe.put(RAM, bytes.fromhex("0160fee7"))  # str r1, [r0]; b .
    before = probe.read(FICR + 0x60)
    for number, value in ((0, FICR + 0x60), (1, 0), (15, RAM), (16, 0x0100_0000)):
        probe.write(DCRDR, value)
        probe.write(DCRSR, 1 << 16 | number)
    probe.write(CONFIG, 1)
    probe.write(DHCSR, 0xA05F_0001)
    probe.board.advance(1 * MS)
    probe.halt()
    assert "what the factory wrote cannot be changed" in probe.complaints
    assert probe.read(FICR + 0x60) == before
