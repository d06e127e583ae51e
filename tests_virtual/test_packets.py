"""lorafab/virtual/packets.py: how transfers become packets, what they cost, and how errors come back."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.virtual import access_ports as ap
from lorafab.virtual import dap
from lorafab.virtual.cost import (
    OK_CLOCKS,
    PACKET_BYTES,
    REFUSED_CLOCKS,
    SILENT_CLOCKS,
    USB_ROUND_TRIP_NS,
    WAIT_RETRIES,
)
from lorafab.virtual.dap import Ack
from lorafab.virtual.packets import CmsisDap, Counters, TransferFailedError, UnpluggedError
from tests_virtual.ram_board import RAM, SLOW, RamBoard, select_swd

POWER_UP = dap.CDBGPWRUPREQ | dap.CSYSPWRUPREQ
CLEAR_ALL = 0x1E
MHZ = 1_000_000


def probed(plan: str = "", address: int = RAM, csw: int = 0x12) -> tuple[RamBoard, CmsisDap]:
    """A board, and a probe on its ready debug port with DRW selected; no transfer has been counted so far."""
    board = RamBoard(plan)
    port = board.swd
    select_swd(port)
    port.read(False, dap.DPIDR)
    port.write(False, dap.CTRL_STAT, POWER_UP)
    port.write(True, ap.CSW, csw)
    port.write(True, ap.TAR, address)
    return board, CmsisDap(board)


def refused(ack: Ack) -> Any:
    """The transfer fails with this answer."""
    return pytest.raises(TransferFailedError, match=f"answered {ack.name}")


# -- packets


def test_a_kib_of_words_takes_three_packets() -> None:
    """126 words fit into a block write of 512 bytes; each packet ends with a check of its last write."""
    board, probe = probed()
    probe.write(True, ap.DRW, range(256))
    probe.flush()
    assert (probe.counters.packets, probe.counters.transfers) == (3, 256 + 3)
    assert struct.unpack_from("<256I", board.ram) == tuple(range(256))


def test_reading_a_kib_takes_three_packets() -> None:
    """127 words fit into the answer of a block read; one more transfer fetches the last word."""
    board, probe = probed()
    struct.pack_into("<256I", board.ram, 0, *range(256))
    assert probe.read(True, ap.DRW, 256).result() == list(range(256))
    assert (probe.counters.packets, probe.counters.transfers) == (3, 256 + 3)


def test_requests_wait_for_a_reason_to_be_sent() -> None:
    """Nothing moves before somebody wants an answer; then everything goes in one packet, in order."""
    _, probe = probed()
    probe.write(True, ap.DRW, (7,))
    probe.write(True, ap.TAR, (RAM,))
    reply = probe.read(True, ap.DRW)
    other = probe.read(False, dap.CTRL_STAT)
    assert probe.counters.packets == 0
    assert reply.result() == [7]
    assert other.result()[0] & POWER_UP == POWER_UP
    assert probe.counters.packets == 1


def test_mixed_packets_keep_the_order_of_posted_reads() -> None:
    """Reads in a row are posted, each fetching the one before: four values take five transfers and one fetch."""
    board, probe = probed()
    board.ram[:16] = bytes(range(16))
    first, address, rest = probe.read(True, ap.DRW), probe.read(True, ap.TAR), probe.read(True, ap.DRW, 3)
    assert rest.result() == [0x07060504, 0x0B0A0908, 0x0F0E0D0C]
    assert first.result() == [0x03020100]
    assert address.result() == [RAM + 4]
    assert probe.counters.transfers == 5 + 1


READS = st.tuples(st.just(True), st.sampled_from([0x0, 0x4, 0xC]), st.integers(1, 300))
WRITES = st.tuples(st.just(False), st.sampled_from([0x4, 0xC]), st.integers(1, 300))


@settings(deadline=None)  # the first example imports pyOCD
@given(st.lists(READS | WRITES, min_size=1, max_size=12))
def test_packets_are_the_ones_that_pyocd_sends(asked: list[tuple[bool, int, int]]) -> None:
    """Whatever is asked in whatever order: as many packets, as many transfers in each, as its own driver makes."""
    _, probe = probed()
    seen: list[int] = []
    run = probe._run
    probe._run = lambda requests: (seen.append(sum(one.count for one in requests)), run(requests))[1]  # type: ignore
    driver, wire = pyocd_driver()
    for reading, address, count in asked:
        if reading:
            probe.read(True, address, count)
            driver._write(0, count, 3 | address, None)
        else:
            probe.write(True, address, [RAM] * count)
            driver._write(0, count, 1 | address, [RAM] * count)
    probe.flush()
    driver.flush()
    assert seen == wire.transfers


class _Wire:
    """Takes CMSIS-DAP packets, counts their transfers, and answers that all went well."""

    vendor_name = product_name = ""
    vid = pid = 0

    def __init__(self) -> None:
        self.transfers: list[int] = []
        self._answer: list[int] = []

    def get_serial_number(self) -> str:
        return "wire"

    def get_packet_count(self) -> int:
        return 1

    def write(self, data: Sequence[int]) -> None:
        assert len(data) <= PACKET_BYTES
        block = data[0] == 6  # DAP_TransferBlock, otherwise DAP_Transfer
        count = data[2] | data[3] << 8 if block else data[2]
        self.transfers.append(count)
        reads, at = 0, 4 if block else 3
        if block:
            reads = count if data[4] & 2 else 0
        else:
            for _ in range(count):
                reading = data[at] & 2
                reads, at = reads + (1 if reading else 0), at + (1 if reading else 5)
        head = [6, count & 0xFF, count >> 8, 1] if block else [5, count, 1]
        self._answer = head + [0] * 4 * reads
        assert len(self._answer) <= PACKET_BYTES

    def read(self) -> list[int]:
        return self._answer


def pyocd_driver() -> tuple[Any, _Wire]:
    """PyOCD's CMSIS-DAP driver as it is after opening a probe with 512-byte packets, one at a time."""
    from pyocd.probe.pydapaccess.dap_access_cmsis_dap import DAPAccessCMSISDAP

    wire = _Wire()
    driver: Any = DAPAccessCMSISDAP(None, interface=wire)
    driver._packet_size, driver._deferred_transfer = PACKET_BYTES, True
    driver._init_deferred_buffers()
    return driver, wire


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 300)), min_size=1, max_size=12))
def test_any_mix_of_reads_and_writes_arrives_in_order(steps: list[tuple[bool, int]]) -> None:
    """However requests are packed, reads return what a plain memory would hold at that moment."""
    board, probe = probed()
    model, at, stamp, replies = [0] * 1024, 0, 0, []
    for reading, count in steps:
        places = [(at + index) % 1024 for index in range(count)]
        at = (at + count) % 1024
        if reading:
            replies.append((probe.read(True, ap.DRW, count), [model[place] for place in places]))
            continue
        words = range(stamp + 1, stamp + 1 + count)
        stamp += count
        for place, word in zip(places, words, strict=True):
            model[place] = word
        probe.write(True, ap.DRW, words)
    probe.flush()
    assert [reply.result() for reply, _ in replies] == [wanted for _, wanted in replies]
    assert list(struct.unpack_from("<1024I", board.ram)) == model


# -- time


def test_time_is_clocks_and_round_trips() -> None:
    """A register read is one round trip and two transfers of 48 clocks."""
    board, probe = probed()
    probe.set_clock(4 * MHZ)
    before = board.now_ns
    probe.read(True, ap.DRW).result()
    assert board.now_ns - before == USB_ROUND_TRIP_NS + 2 * 48 * 250


def test_commands_and_sequences_cost_a_round_trip_each() -> None:
    """Setting the clock, moving the reset pin, bits on SWDIO: a packet, and the clocks of the bits."""
    board, probe = probed()
    probe.set_clock(MHZ)
    probe.command(3)
    probe.swj_sequence(51, (1 << 51) - 1)
    assert probe.counters.packets == 5
    assert probe.counters.usb_ns == 5 * USB_ROUND_TRIP_NS
    assert board.now_ns == 5 * USB_ROUND_TRIP_NS + 51 * 1000


@given(st.integers(1, 50 * MHZ), st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_no_clock_is_lost(hz: int, counts: list[int]) -> None:
    """Parts of a nanosecond add up, whatever the frequency."""
    board, probe = probed()
    probe.set_clock(hz)
    for count in counts:
        probe.read(True, ap.DRW, count).result()
    assert probe.counters.clocks == probe.counters.transfers * OK_CLOCKS
    assert board.now_ns == probe.counters.usb_ns + probe.counters.clocks * 1_000_000_000 // hz


def test_counters_begin_with_the_probe_and_transfers_with_the_board() -> None:
    """A second probe on the same wires counts from zero; the wires go on."""
    board, probe = probed()
    probe.read(True, ap.DRW, 10).result()
    again = CmsisDap(board)
    assert again.counters.transfers == 0
    again.read(True, ap.DRW).result()
    assert board.swd.transfers == 11 + 2


# -- errors


def test_a_write_fault_surfaces_with_its_packet() -> None:
    """A bad write is told when the packet goes out, to everybody who waits for it."""
    _, probe = probed()
    probe.write(True, ap.TAR, (0x60000000,))
    probe.write(True, ap.DRW, (1,))
    reply = probe.read(True, ap.TAR)
    with refused(Ack.FAULT):
        probe.flush()
    with refused(Ack.FAULT):
        reply.result()
    assert probe.counters.faults == 1


def test_the_last_write_of_a_packet_is_checked() -> None:
    """A packet of writes only does not hide that the last one failed."""
    _, probe = probed()
    probe.write(True, ap.TAR, (0x60000000,))
    probe.write(True, ap.DRW, (1,))
    with refused(Ack.FAULT):
        probe.flush()


def test_a_block_fails_where_its_word_fails() -> None:
    """The words before it are written, and TAR stands at the one that is not there."""
    board, probe = probed()
    board.torn = RAM + 8
    for request in (lambda: probe.write(True, ap.DRW, [1, 2, 3, 4, 5]), lambda: probe.read(True, ap.DRW, 5)):
        probe.counters = Counters()
        request()
        with refused(Ack.FAULT):
            probe.flush()
        assert struct.unpack_from("<5I", board.ram) == (1, 2, 0, 0, 0)
        assert probe.counters.transfers == 4, "two words, the one that faulted, and the one that was refused for it"
        probe.write(False, dap.ABORT, (CLEAR_ALL,))
        assert probe.read(True, ap.TAR).result() == [RAM + 8]
        probe.write(True, ap.TAR, [RAM])
        probe.flush()


def test_refused_transfers_are_short() -> None:
    """A FAULT answer ends the transfer after 13 clocks."""
    board, probe = probed()
    probe.write(True, ap.TAR, (0x60000000,))
    with refused(Ack.FAULT):
        probe.read(True, ap.DRW).result()
    assert board.now_ns == USB_ROUND_TRIP_NS + (2 * OK_CLOCKS + REFUSED_CLOCKS) * 1000


def test_silence_takes_as_long_as_data() -> None:
    """The probe clocks out what the answer would have been."""
    board, probe = probed()
    board.powered = False
    with refused(Ack.NONE):
        probe.read(False, dap.DPIDR).result()
    assert board.now_ns == USB_ROUND_TRIP_NS + SILENT_CLOCKS * 1000
    assert probe.counters.errors == 1


# -- waiting


def test_a_short_stall_heals() -> None:
    """As long as a double word is programmed: the probe repeats its transfer, time passes, the value arrives."""
    board, probe = probed(address=SLOW, csw=0x02)
    probe.set_clock(4 * MHZ)
    began, board.slow_until = board.now_ns, board.now_ns + USB_ROUND_TRIP_NS + 82_000
    assert probe.read(True, ap.DRW).result() == [board.slow_word]
    # The first try comes a transfer after the post, then one every 13 clocks until 82 us are over.
    assert probe.counters.waits == -(-(82_000 - 48 * 250) // (13 * 250))
    assert 82_000 <= board.now_ns - began - USB_ROUND_TRIP_NS - 48 * 250 < 82_000 + 13 * 250
    assert board.accesses == 2, "the one that stalled, and the one that was let through"


def test_a_stall_that_ends_before_anybody_asks_is_not_seen() -> None:
    """What is over within a transfer needs no WAIT."""
    board, probe = probed(address=SLOW, csw=0x02)
    board.slow_until = USB_ROUND_TRIP_NS + 47_000
    assert probe.read(True, ap.DRW).result() == [board.slow_word]
    assert probe.counters.waits == 0


def test_a_long_stall_is_the_hosts_business() -> None:
    """An erase outlasts the probe's patience of 151 tries; the host aborts, and the port works again."""
    board, probe = probed(address=SLOW, csw=0x02)
    probe.set_clock(4 * MHZ)
    board.slow_until = board.now_ns + 22_000_000
    reply = probe.read(True, ap.DRW)
    with refused(Ack.WAIT):
        reply.result()
    assert probe.counters.waits == WAIT_RETRIES + 1
    assert probe.counters.clocks == OK_CLOCKS + (WAIT_RETRIES + 1) * REFUSED_CLOCKS
    assert board.now_ns - probe.counters.usb_ns == probe.counters.clocks * 250
    probe.write(False, dap.ABORT, (dap.DAPABORT,))
    assert probe.read(True, ap.TAR).result() == [SLOW]


def test_a_stalled_write_is_waited_for_by_its_check() -> None:
    """The packet ends with a read of RDBUFF, which waits for the write."""
    board, probe = probed(address=SLOW, csw=0x02)
    board.slow_until = USB_ROUND_TRIP_NS + 300_000
    probe.write(True, ap.DRW, [5])
    probe.flush()
    assert board.slow_writes == [5]
    assert probe.counters.waits > 0
    assert board.now_ns >= USB_ROUND_TRIP_NS + 300_000


def test_each_word_of_a_block_may_stall() -> None:
    """Words to a slow place go one by one, and none is lost or doubled."""
    board, probe = probed(address=SLOW, csw=0x02)
    board.slow_until = USB_ROUND_TRIP_NS + 100_000
    probe.write(True, ap.DRW, [1, 2, 3])
    probe.flush()
    assert board.slow_writes == [1, 2, 3]


# -- faults on the wires


@pytest.mark.parametrize("probes", [1, 2])
def test_an_unplugged_probe_is_gone_for_good(probes: int) -> None:
    """After the planned number of transfers nothing works, no further word arrives, and a new probe changes nothing."""
    board, probe = probed("unplug_after=10")
    with pytest.raises(UnpluggedError):
        probe.write(True, ap.DRW, range(1, 400))
    assert struct.unpack_from("<12I", board.ram) == (*range(1, 11), 0, 0)
    assert (probe.counters.transfers, board.swd.transfers) == (10, 10)
    if probes == 2:
        probe = CmsisDap(board)
    with pytest.raises(UnpluggedError):
        probe.read(False, dap.DPIDR).result()


@pytest.mark.parametrize("number", [1, 5, 128, 200])
def test_silence_at_one_transfer(number: int) -> None:
    """The chip never saw it, the packet fails there, and the next one works."""
    board, probe = probed(f"no_ack@transfer:{number}")
    with refused(Ack.NONE):
        probe.write(True, ap.DRW, range(1, 400))
        probe.flush()
    assert probe.counters.errors == 1
    words = struct.unpack_from("<399I", board.ram)
    sent = words.index(0)
    # Each packet of 126 words has one more transfer, the check of its last write.
    assert sent == number - 1 - (number - 1) // 127
    assert probe.read(True, ap.TAR).result() == [RAM + 4 * sent]


def test_a_planned_wait_heals() -> None:
    """One WAIT in the middle of a block is repeated by the probe, and nobody else notices."""
    board, probe = probed("wait@transfer:20*3")
    probe.write(True, ap.DRW, range(1, 101))
    probe.flush()
    assert struct.unpack_from("<100I", board.ram) == tuple(range(1, 101))
    assert (probe.counters.waits, probe.counters.transfers) == (3, 101 + 3)


def test_as_many_waits_as_it_takes_to_give_up() -> None:
    """150 heal, one more does not."""
    _, probe = probed("wait@transfer:20*150")
    probe.write(True, ap.DRW, range(1, 101))
    probe.flush()
    board, probe = probed("wait@transfer:20*151")
    probe.write(True, ap.DRW, range(1, 101))
    with refused(Ack.WAIT):
        probe.flush()
    assert struct.unpack_from("<20I", board.ram) == (*range(1, 20), 0)


def test_a_damaged_read_is_a_failed_one() -> None:
    """The chip has answered, the value is worthless, and nothing is stuck."""
    _, probe = probed("parity@transfer:3")
    with refused(Ack.PARITY):
        probe.read(True, ap.DRW, 10).result()
    assert probe.counters.clocks == 3 * OK_CLOCKS
    assert probe.read(True, ap.IDR & 0xC).result()


def test_a_damaged_write_sticks_in_the_chip() -> None:
    """Its word is not written, the next transfer is refused, and ABORT clears it."""
    board, probe = probed("parity@transfer:3")
    probe.write(True, ap.DRW, range(1, 11))
    with refused(Ack.FAULT):
        probe.flush()
    assert struct.unpack_from("<4I", board.ram) == (1, 2, 0, 0)
    assert probe.read(False, dap.CTRL_STAT).result()[0] & dap.WDATAERR
    probe.write(False, dap.ABORT, (CLEAR_ALL,))
    assert probe.read(True, ap.TAR).result() == [RAM + 8]


def test_a_fault_by_time_is_found_inside_a_block() -> None:
    """It waits for a moment and not for a transfer: a block is taken apart to meet it."""
    board, probe = probed("no_ack@time:1ms")
    with refused(Ack.NONE):
        probe.read(True, ap.DRW, 120).result()
    late_ns = board.now_ns - SILENT_CLOCKS * 1000 - 1_000_000
    assert 0 <= late_ns < OK_CLOCKS * 1000


@given(st.lists(st.integers(1, 600), min_size=1, max_size=4, unique=True), st.sampled_from(["wait", "no_ack"]))
def test_blocks_are_cut_where_faults_are_planned(numbers: list[int], kind: str) -> None:
    """Each fault meets exactly its transfer, whether the transfers around it went one by one or in a block."""
    board, probe = probed("; ".join(f"{kind}@transfer:{number}" for number in numbers))
    failed = 0
    for _ in range(20):
        try:
            probe.write(True, ap.DRW, range(1, 60))
            probe.flush()
        except TransferFailedError:
            failed += 1
    due = sum(1 for number in numbers if number <= board.swd.transfers)
    assert probe.counters.waits + probe.counters.errors == due
    assert failed == (0 if kind == "wait" else due)
