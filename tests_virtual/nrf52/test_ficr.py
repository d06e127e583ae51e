"""lorafab/virtual/nrf52/ficr.py: what the factory wrote."""

from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.clock import Clock
from lorafab.virtual.faults import ActiveFaults, FaultPlan
from lorafab.virtual.nrf52.ficr import FICR_SIZE, factory_data
from tests_virtual.nrf52.rig import C0, FICR, Boards, Probe


def word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def faults(plan: str = "") -> ActiveFaults:
    return ActiveFaults(FaultPlan.parse(plan), Clock())


def test_what_pyocd_asks_for(probe: Probe) -> None:
    """Part, variant with build code, package, RAM and flash in KiB, page size and number of pages."""
    words = [probe.read(FICR + offset) for offset in (0x100, 0x104, 0x108, 0x10C, 0x110, 0x10, 0x14)]
    assert words == [0x52840, 0x4141_4630, 0x2004, 256, 1024, 4096, 256]


def test_the_build_code_is_told(boards: Boards) -> None:
    """In the variant, and in the words by which Nordic's own code knows revisions."""
    probe = boards(chip=C0)
    assert probe.read(FICR + 0x104).to_bytes(4, "big") == b"AAC0"
    assert [probe.read(FICR + 0x130), probe.read(FICR + 0x134)] == [8, 2]


def test_the_device_id_is_the_boards(probe: Probe) -> None:
    """Eight bytes in memory order, with the prefix of virtual chips."""
    assert probe.bytes(FICR + 0x60, 8).hex().upper() == probe.board.chip_id
    assert probe.bytes(FICR + 0x60, 4) == b"LFVB"


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_other_boards_have_other_roots(first: bytes, second: bytes) -> None:
    """Roots and radio address follow from the unique id; the image has always the same size."""
    one, other = (factory_data(uid, "F0", faults()) for uid in (first, second))
    assert len(one) == len(other) == FICR_SIZE
    assert (one[0x80:0xAC] == other[0x80:0xAC]) == (first == second)


def test_faults_change_what_it_says(boards: Boards) -> None:
    """idcode is INFO.PART, flash_size both places where the size is told."""
    data = factory_data(bytes(8), "F0", faults("idcode=0x52832; flash_size=512"))
    assert [word(data, offset) for offset in (0x100, 0x110, 0x14)] == [0x52832, 512, 128]
