"""lorafab/drivers/pyocd_programmer.py against a small stand-in for pyOCD's session."""

import logging
import struct
import traceback
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pyocd.core import exceptions as pyocd_exceptions
from pyocd.core.target import Target

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers import pyocd_worker
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.drivers.pyocd_worker import Kind
from lorafab.errors import (
    ConfigError,
    DutError,
    FlashRefused,
    LorafabError,
    MemoryFault,
    PlanError,
    ProbeError,
    WrongChip,
)
from lorafab.interfaces import Programmer
from lorafab.targets import MCUS
from lorafab.targets.algorithm import load_worker

exceptions: Any = pyocd_exceptions  # their constructors carry no annotations

START = 0x08000000
PAGE = 2048
KEY = bytes.fromhex("5A17C0DE0123456789ABCDEFCAFEF00D")
REGISTERS = {
    "stm32wle5jc": {
        0xE0042000: 0x10016497,
        0x1FFF75E0: 0xFFFF0100,
        0x1FFF7590: 0x33323130,
        0x1FFF7594: 0x37363534,
        0x1FFF7598: 0x3B3A3938,
    },
    # Between the second and the third word of its unique id lies something else.
    "stm32l072xz": {
        0x40015800: 0x20086447,
        0x1FF8007C: 0x029900C0,
        0x1FF80050: 0x33323130,
        0x1FF80054: 0x37363534,
        0x1FF80058: 0xEEEEEEEE,
        0x1FF80064: 0x3B3A3938,
    },
    "nrf52840": {
        0x10000100: 0x52840,
        0x10000010: 4096,
        0x10000014: 256,
        0x10000060: 0x33323130,
        0x10000064: 0x37363534,
    },
}


RAM = 0x20000000


class FakeMemories:
    """Flash, data EEPROM and RAM as a dictionary of bytes; what nobody wrote reads as erased."""

    def __init__(self, target: str) -> None:
        self._mcu, self._bytes = MCUS[target], dict[int, int]()

    def get(self, address: int, size: int) -> bytes:
        area = self._mcu.area_of(Span(address, size))
        return bytes(self._bytes.get(at, area.erased if area else 0) for at in range(address, address + size))

    def put(self, address: int, data: bytes) -> None:
        self._bytes.update(zip(range(address, address + len(data)), data, strict=True))

    def erase(self, address: int) -> None:
        area = self._mcu.area_of(Span(address, 1))
        assert area is not None
        for at in range(address, address + area.page_size):
            self._bytes.pop(at, None)


class FakeTarget:
    """A core that does what the program in its RAM would do; writes down the order of events."""

    def __init__(self, session: "FakeSession") -> None:
        self.session, self.state = session, Target.State.HALTED
        self.dp = SimpleNamespace(dpidr=SimpleNamespace(idr=FakeSession.dpidr))
        name = session.options["target_override"]
        self.memory, self.events = FakeMemories(name), list[str]()
        self.memory_map = SimpleNamespace(
            get_region_for_address=lambda address: SimpleNamespace(is_ram=address >> 28 == 2)
        )
        self.program = load_worker(name)
        self.registers: dict[str, int] = {}
        self.fault: Exception | None = None
        self.broken: BaseException | None = None
        """What the connection does when the program is loaded."""
        self.results: dict[str, int] = {}
        """Result codes by event, instead of 0; -1: it never ends."""
        self._expected = 0

    def get_state(self) -> Target.State:
        return self.state

    def halt(self) -> None:
        self.state = Target.State.HALTED

    def reset(self) -> None:
        self.state = Target.State.RUNNING

    def reset_and_halt(self) -> None:
        self.events.append("reset")
        self.state = Target.State.HALTED

    def write_core_registers_raw(self, names: list[str], values: list[int]) -> None:
        self.registers.update(zip(names, values, strict=True))

    def read_core_register_raw(self, name: str) -> int:
        return self.registers[name]

    def resume(self) -> None:
        self.state = Target.State.RUNNING
        if self.registers.get("pc") == self.program.symbols["Session"] & ~1:
            self._expected = 1
            refused = self.results.get("init", 0)
            self._report(0xFFFFFFFF if refused else 0, refused)

    def _report(self, done: int, failure: int) -> None:
        self.memory.put(self.program.mailbox + 32, struct.pack("<2I", done, failure))
        if failure:
            self.state, self.registers["r0"] = Target.State.HALTED, failure

    def _work(self) -> None:
        """Carry out the order that has just been handed over."""
        slot = self._expected % 2
        kind, address, size, number = struct.unpack("<4I", self.memory.get(self.program.mailbox + 16 * slot, 16))
        if self.state != Target.State.RUNNING or number != self._expected:
            return
        if kind == Kind.END:
            self.state, self.registers["r0"] = Target.State.HALTED, self.results.get("end", 0)
            return
        event = f"{Kind(kind).name} {address:#x}" + (f"+{size}" if kind == Kind.PROGRAM else "")
        self.events.append(event)
        result = self.results.get(event, 0)
        if result == -1:
            return
        if not result:
            if kind == Kind.ERASE_PAGE:
                self.memory.erase(address)
            elif kind == Kind.PROGRAM:
                self.memory.put(address, self.memory.get(self.buffer(slot), size))
            self._expected += 1
        self._report(number - 1 if result else number, result)

    def buffer(self, number: int) -> int:
        return self.program.symbols[f"__page_buffer_{number}"]

    def read32(self, address: int) -> int:
        return REGISTERS[self.session.options["target_override"]][address]

    def read_memory_block8(self, address: int, size: int) -> list[int]:
        words = REGISTERS[self.session.options["target_override"]]
        return list(b"".join(words[at].to_bytes(4, "little") for at in range(address, address + size, 4)))

    def read_memory_block32(self, address: int, size: int) -> list[int]:
        if self.fault:
            raise self.fault
        assert address % 4 == 0
        return list(struct.unpack(f"<{size}I", self.memory.get(address, 4 * size)))

    def write_memory_block32(self, address: int, words: Sequence[int]) -> None:
        if self.broken:
            raise self.broken
        if address in (self.buffer(0), self.buffer(1)) and any(words):
            self.events.append(f"load {int(address == self.buffer(1))}")
        self.memory.put(address, struct.pack(f"<{len(words)}I", *words))
        self._work()


class FakeSession:
    """Stands where pyocd.core.session.Session does."""

    made: ClassVar[list["FakeSession"]] = []
    refuse: Exception | None = None
    dpidr = 0x6BA02477
    refused_modes: tuple[str, ...] = ("halt", "under-reset")

    def __init__(self, probe: Any, options: dict[str, Any]) -> None:
        self.probe, self.options, self.is_open = probe, options, False
        self.context_state = SimpleNamespace(current_flash_algo="ours")
        self.target = FakeTarget(self)
        FakeSession.made.append(self)

    def open(self) -> None:
        self.is_open = True
        if FakeSession.refuse and self.options["connect_mode"] in FakeSession.refused_modes:
            raise FakeSession.refuse

    def close(self) -> None:
        self.is_open = False


@pytest.fixture(autouse=True)
def pyocd(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No real probe is looked for; the list holds the ids of those that are there."""
    ids = ["bench", "bench1"]

    def probes(unique_id: str | None = None) -> list[SimpleNamespace]:
        part = (unique_id or "").rpartition(":")[2]
        return [SimpleNamespace(unique_id=one) for one in ids if part in one]

    monkeypatch.setattr("pyocd.core.session.Session", FakeSession)
    monkeypatch.setattr("pyocd.probe.aggregator.DebugProbeAggregator.get_all_connected_probes", staticmethod(probes))
    yield ids
    FakeSession.made.clear()
    FakeSession.refuse, FakeSession.refused_modes = None, ("halt", "under-reset")
    FakeSession.dpidr = 0x6BA02477


@pytest.fixture
def programmer() -> PyocdProgrammer:
    """Connected to the stand-in."""
    programmer = PyocdProgrammer("bench", "stm32wle5jc", 4000)
    programmer.connect()
    return programmer


def session() -> FakeSession:
    return FakeSession.made[-1]


# -- connecting


def test_it_is_a_programmer() -> None:
    """The driver can stand wherever steps ask for a Programmer."""
    interface: Programmer = PyocdProgrammer("bench", "stm32wle5jc", 4000)
    assert interface is not None


@pytest.mark.parametrize(
    ("target", "idcode", "size", "unique_id"),
    [
        ("stm32wle5jc", 0x10016497, 256 * 1024, "303132333435363738393A3B"),
        ("stm32l072xz", 0x20086447, 192 * 1024, "303132333435363738393A3B"),
        ("nrf52840", 0x52840, 1024 * 1024, "3031323334353637"),
    ],
)
def test_connecting_tells_who_the_chip_is(target: str, idcode: int, size: int, unique_id: str) -> None:
    """DPIDR, identity register, flash size in bytes, and the unique id in memory order, wherever the chip has them."""
    chip = PyocdProgrammer("bench", target, 4000).connect()
    assert (chip.dpidr, chip.idcode, chip.flash_size, chip.unique_id) == (0x6BA02477, idcode, size, unique_id)


def test_the_probe_is_taken_by_its_whole_id(pyocd: list[str]) -> None:
    """Asked for `bench`, the probe `bench1` is never taken; a type prefix does not matter."""
    for asked in ("bench", "cmsisdap:bench"):
        PyocdProgrammer(asked, "stm32wle5jc", 4000).connect()
        assert session().probe.unique_id == "bench"
    pyocd.remove("bench")
    with pytest.raises(ProbeError, match=r"bench is not connected, found bench1;.*station file"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()


def test_two_probes_with_one_id_are_refused(pyocd: list[str]) -> None:
    """Nobody guesses which of two equal probes was meant."""
    pyocd.append("bench")
    with pytest.raises(ProbeError, match="2 probes have the id bench"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()


def test_no_probe_at_all_is_said_so(pyocd: list[str]) -> None:
    """An unplugged station is told apart from a mistyped id."""
    pyocd.clear()
    with pytest.raises(ProbeError, match="no probe at all"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()


def test_an_unknown_target_stops_before_any_probe_is_touched() -> None:
    """The sentence lists what is known."""
    with pytest.raises(ConfigError, match="stm32wle5jc"):
        PyocdProgrammer("bench", "stm32f103", 4000)


def test_the_session_cannot_unlock_nor_be_configured_from_outside(programmer: PyocdProgrammer) -> None:
    """Nothing is mass-erased on connect, and no file of the current folder has a say."""
    options = session().options
    assert options["auto_unlock"] is False
    assert options["no_config"] is True
    assert options["user_script"] == "/dev/null"
    assert options["connect_mode"] == "halt"
    assert options["frequency"] == 4_000_000


def test_a_silent_chip_is_the_stations_trouble_and_leaves_nothing_open() -> None:
    """No answer may be a needle: ERROR, not FAIL; the probe is released."""
    FakeSession.refuse = exceptions.Error("Target not detected")
    with pytest.raises(ProbeError, match="check power"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()
    assert not session().is_open


def test_a_chip_that_cannot_be_halted_is_reset_by_wire_once(caplog: pytest.LogCaptureFixture) -> None:
    """A part asleep without debug clocks answers under nRESET; the log says that this was needed."""
    FakeSession.refuse, FakeSession.refused_modes = exceptions.TransferError("no ack"), ("halt",)
    chip = PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()
    assert chip.idcode == 0x10016497
    assert [made.options["connect_mode"] for made in FakeSession.made] == ["halt", "under-reset"]
    assert [made.is_open for made in FakeSession.made] == [False, True]
    assert "no ack" in caplog.text
    assert "nRESET" in caplog.text


def test_when_the_reset_does_not_help_the_first_trouble_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe without a wire to nRESET complains about that; the operator hears what the chip did."""

    def opened(self: FakeSession) -> None:
        under_reset = self.options["connect_mode"] == "under-reset"
        raise exceptions.ProbeError("no reset pin") if under_reset else exceptions.TransferError("no ack")

    monkeypatch.setattr(FakeSession, "open", opened)
    with pytest.raises(ProbeError, match="no ack") as caught:
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()
    assert list(chain(caught.value)) == [caught.value]


def test_a_probe_that_is_gone_is_not_asked_again() -> None:
    """Only what a reset may cure is tried twice."""
    FakeSession.refuse = exceptions.ProbeDisconnected("gone")
    with pytest.raises(ProbeError, match="gone"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()
    assert len(FakeSession.made) == 1


def test_a_protected_nrf52_is_a_sentence() -> None:
    """Behind access protection pyOCD finds no core, and trips over that itself."""
    FakeSession.refuse = KeyError("SoCTarget has no selected core")
    FakeSession.dpidr = 0x2BA01477
    with pytest.raises(ProbeError, match="no core answers, as when access protection is on"):
        PyocdProgrammer("bench", "nrf52840", 4000).connect()
    assert not session().is_open


def test_missing_identity_registers_are_a_wrong_chip() -> None:
    """A fault where the identity should be means that something else is in the jig."""
    FakeSession.refuse = exceptions.TransferFaultError(fault_address=0xE0042000)
    with pytest.raises(WrongChip, match="0xe0042000"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()


def test_a_core_that_does_not_halt_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyOCD only warns; working on a running core would be luck."""
    monkeypatch.setattr(FakeTarget, "get_state", lambda self: Target.State.RUNNING)
    with pytest.raises(ProbeError, match="goes on running"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()
    assert not session().is_open


def test_using_it_unconnected_says_so() -> None:
    """Forgetting connect() is a sentence, not an AttributeError."""
    with pytest.raises(ProbeError, match="connect"):
        PyocdProgrammer("bench", "stm32wle5jc", 4000).read(Span(START, 4))


def test_closing_twice_or_on_a_dead_link_is_quiet(programmer: PyocdProgrammer, monkeypatch: pytest.MonkeyPatch) -> None:
    """close() never hides the failure that led to it."""

    def gone(self: FakeSession) -> None:
        raise exceptions.ProbeDisconnected

    monkeypatch.setattr(FakeSession, "close", gone)
    programmer.close()
    programmer.close()


# -- memory


@pytest.mark.parametrize("span", [Span(START, 0), Span(START + 3, 6), Span(START + PAGE - 1, 1), Span(START, 3 * PAGE)])
def test_any_span_can_be_read(programmer: PyocdProgrammer, span: Span) -> None:
    """Alignment is the driver's business."""
    memory = bytes(i * i % 251 for i in range(4 * PAGE))
    session().target.memory.put(START, memory)
    assert programmer.read(span) == memory[span.start - START : span.end - START]


def test_only_the_pages_asked_for_are_erased(programmer: PyocdProgrammer) -> None:
    """Spans of several pages, and pages named twice, are erased once each."""
    programmer.program([Span(START, 2 * PAGE), Span(START + PAGE, PAGE)], [])
    assert session().target.events == ["reset", f"ERASE_PAGE {START:#x}", f"ERASE_PAGE {START + PAGE:#x}"]


def test_a_session_without_work_does_not_touch_the_core(programmer: PyocdProgrammer) -> None:
    """A plan that changes nothing costs nothing."""
    programmer.program([], [])
    assert session().target.events == []


def test_words_that_segments_share_are_programmed_once_padded_as_erased(programmer: PyocdProgrammer) -> None:
    """Segments may cross pages and share words; the other bytes of their words stay 0xFF."""
    first, second, third = b"\x11" * 100, b"\x22" * 3000, b"\x33" * 8
    segments = [Segment(START + PAGE + 3003, third), Segment(START + 8, first), Segment(START + 110, second)]
    programmer.program([], segments)
    wanted = bytearray(b"\xff" * 4 * PAGE)
    for segment in segments:
        wanted[segment.address - START : segment.span.end - START] = segment.data
    assert session().target.memory.get(START, 4 * PAGE) == wanted
    assert [event for event in session().target.events if event.startswith("PROGRAM")] == [
        f"PROGRAM {START + 8:#x}+2040",
        f"PROGRAM {START + PAGE:#x}+1064",
        f"PROGRAM {START + PAGE + 3000:#x}+16",
    ]


def test_no_word_outside_of_the_segments_is_programmed(programmer: PyocdProgrammer) -> None:
    """Flash words may be programmed once (STM32) or twice (nRF52) between erases: padding a page would use them up."""
    programmer.program([], [Segment(START + 16, bytes(8)), Segment(START + 64, bytes(2 * PAGE))])
    assert [event for event in session().target.events if event.startswith("PROGRAM")] == [
        *(f"PROGRAM {START + 16:#x}+8", f"PROGRAM {START + 64:#x}+{PAGE - 64}"),
        *(f"PROGRAM {START + PAGE:#x}+{PAGE}", f"PROGRAM {START + 2 * PAGE:#x}+64"),
    ]


def test_what_an_erased_byte_reads_is_the_chips_business() -> None:
    """The flash of an STM32L0 erases to zero: padding of words is zero, too."""
    programmer = PyocdProgrammer("bench", "stm32l072xz", 4000)
    programmer.connect()
    programmer.program([], [Segment(START + 5, b"\x11")])
    assert session().target.memory.get(START, 8) == bytes([0, 0, 0, 0, 0, 0x11, 0, 0])


def test_flash_and_data_eeprom_share_a_session() -> None:
    """All erases come first; one reset and one program for both memories."""
    programmer = PyocdProgrammer("bench", "stm32l072xz", 4000)
    programmer.connect()
    target = session().target
    programmer.program(
        [Span(START, 128), Span(0x08080010, 4)], [Segment(0x08080010, b"nvm!"), Segment(START, bytes(4))]
    )
    assert target.events == ["reset", f"ERASE_PAGE {START:#x}", "ERASE_PAGE 0x8080010", f"PROGRAM {START:#x}+4",
                             "load 0", "PROGRAM 0x8080010+4"]  # fmt: skip
    assert target.memory.get(0x08080010, 4) == b"nvm!"


@pytest.mark.parametrize("segment", [Segment(0x08080002, b"ab"), Segment(0x08080000, b"abcde")])
def test_words_of_a_data_eeprom_are_not_cut(segment: Segment) -> None:
    """It writes over what is there, so padding would wipe the neighbours."""
    programmer = PyocdProgrammer("bench", "stm32l072xz", 4000)
    programmer.connect()
    with pytest.raises(PlanError, match="whole words"):
        programmer.program([], [segment])
    assert session().target.events == []


@pytest.mark.parametrize("span", [Span(0x10001000, 0x1000), Span(0x10001208, 4), Span(0x000FF000, 0x2000)])
def test_nothing_outside_of_the_flash_of_an_nrf52_is_erased_or_written(span: Span) -> None:
    """UICR holds read-back protection and regulator voltage: no flash plan reaches it."""
    programmer = PyocdProgrammer("bench", "nrf52840", 4000)
    programmer.connect()
    with pytest.raises(PlanError, match="not in the flash"):
        programmer.program([span], [])
    with pytest.raises(PlanError, match="not in the flash"):
        programmer.program([], [Segment(span.start, bytes(span.size))])
    assert session().target.events == []


def test_two_buffers_take_turns(programmer: PyocdProgrammer) -> None:
    """One is loaded while the flash is busy with the other, whose data nobody may touch."""
    data = bytes(range(1, 4)) * PAGE
    programmer.program([], [Segment(START, data)])
    assert [event for event in session().target.events if event.startswith("load")] == ["load 1", "load 0", "load 1"]
    assert session().target.memory.get(START, len(data)) == data


def test_a_mass_erase_stands_for_the_pages_of_the_flash() -> None:
    """Other memories are erased by their pages all the same."""
    programmer = PyocdProgrammer("bench", "stm32l072xz", 4000)
    programmer.connect()
    programmer.program([Span(START, 128), Span(0x08080010, 4)], [], mass_erase=True)
    assert session().target.events == ["reset", f"ERASE_CHIP {START:#x}", "ERASE_PAGE 0x8080010"]


@pytest.mark.parametrize(
    ("erase", "segments", "word"),
    [
        ([Span(START + 8, PAGE)], [], "whole pages"),
        ([Span(START, PAGE // 2)], [], "whole pages"),
        ([Span(START - PAGE, PAGE)], [], "not in the flash"),
        ([Span(0x08080000, PAGE)], [], "not in the flash"),
        ([], [Segment(START + 256 * 1024 - 8, bytes(16))], "not in the flash"),
        ([], [Segment(START, bytes(16)), Segment(START + 8, bytes(16))], "share"),
    ],
)
def test_impossible_plans_stop_before_the_flash_is_touched(
    programmer: PyocdProgrammer, erase: list[Span], segments: list[Segment], word: str
) -> None:
    """A wrong plan is our mistake and must not cost a board."""
    with pytest.raises(PlanError, match=word):
        programmer.program(erase, segments)
    assert session().target.events == []


def test_running_resets_and_lets_go(programmer: PyocdProgrammer) -> None:
    """After run() the core executes its firmware."""
    programmer.run()
    assert session().target.state == Target.State.RUNNING


# -- failures


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that hangs on it."""
    yield error
    for other in (error.__cause__, error.__context__):
        if other is not None:
            yield from chain(other)


@pytest.mark.parametrize(
    ("raised", "wanted", "says"),
    [
        (exceptions.ProbeDisconnected("gone"), ProbeError, "ProbeDisconnected"),
        (exceptions.TransferTimeoutError("WAIT"), ProbeError, "TransferTimeoutError"),
        (exceptions.TransferError("no ack"), ProbeError, "check the probe's cable"),
        (OSError(19, "No such device"), ProbeError, "check the probe's cable"),
        (exceptions.TransferFaultError(fault_address=START), MemoryFault, "0x08000000"),
        (exceptions.TransferFaultError(fault_address=0x20001000), ProbeError, "check the probe's cable"),
    ],
)
def test_failures_name_the_culprit_and_carry_no_key(
    programmer: PyocdProgrammer, raised: Exception, wanted: type[LorafabError], says: str
) -> None:
    """Lost links are the station's fault, refusals the board's; no key byte is in any text or attached exception."""
    session().target.broken = raised
    with pytest.raises(LorafabError, match=says) as caught:
        programmer.program([], [Segment(START, KEY)])
    assert type(caught.value) is wanted
    assert list(chain(caught.value)) == [caught.value]
    text = "".join(traceback.format_exception(caught.value)).lower()
    assert not any(str(int.from_bytes(KEY[n : n + 4], "little")) in text for n in range(0, 16, 4))
    assert KEY.hex() not in text
    assert repr(KEY).lower() not in text


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ({f"PROGRAM {START + PAGE:#x}+{PAGE}": 0x8}, r"could not be programmed at 0x08000800 \(result 0x8\)"),
        ({f"ERASE_PAGE {START:#x}": 0x10}, r"could not be erased at 0x08000000 \(result 0x10\)"),
        ({"init": 0x1000000}, r"controller does not work \(result 0x1000000\), wanted it to open"),
        ({"end": 0x2000000}, r"controller does not work \(result 0x2000000\)"),
    ],
)
def test_what_the_chip_refuses_is_the_boards_fault(
    programmer: PyocdProgrammer, results: dict[str, int], says: str
) -> None:
    """The sentence names the place and the controller's code; no copy of the data stays in the buffers."""
    target = session().target
    target.results = results
    with pytest.raises(FlashRefused, match=says):
        programmer.program([Span(START, PAGE)], [Segment(START, KEY * 384)])
    assert target.memory.get(target.buffer(0), 2 * PAGE) == bytes(2 * PAGE)


def test_after_a_failure_the_next_session_begins_with_a_reset(programmer: PyocdProgrammer) -> None:
    """What the failure left in the controller and in RAM is not trusted."""
    target = session().target
    target.results = {f"ERASE_PAGE {START:#x}": 0x10}
    with pytest.raises(FlashRefused):
        programmer.program([Span(START, PAGE)], [])
    target.results = {}
    programmer.program([Span(START, PAGE)], [])
    assert target.events == ["reset", f"ERASE_PAGE {START:#x}"] * 2


def test_a_page_that_never_ends_is_the_boards_fault(
    programmer: PyocdProgrammer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout is told as such."""
    monkeypatch.setattr(pyocd_worker, "_ORDER_TIMEOUT_S", 0.01)
    session().target.results = {f"PROGRAM {START:#x}+{PAGE}": -1}
    with pytest.raises(FlashRefused, match=r"could not be programmed at 0x08000000 \(no result\)"):
        programmer.program([], [Segment(START, KEY * 128)])
    assert session().target.state == Target.State.HALTED


def test_unreadable_memory_is_the_boards_fault(programmer: PyocdProgrammer) -> None:
    """A bus fault while reading names the address."""
    session().target.fault = exceptions.TransferFaultError(fault_address=START + 64)
    with pytest.raises(DutError, match="0x08000040"):
        programmer.read(Span(START, 128))


def test_an_interrupt_is_not_swallowed(programmer: PyocdProgrammer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a flash session stops the algorithm and goes on up."""

    target = session().target
    write = target.write_memory_block32

    def interrupted(address: int, words: Sequence[int]) -> None:
        write(address, words)
        if target.events[-1:] == [f"ERASE_PAGE {START:#x}"]:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(target, "write_memory_block32", interrupted)
    with pytest.raises(KeyboardInterrupt):
        programmer.program([Span(START, PAGE)], [Segment(START, KEY * 128)])
    assert target.state == Target.State.HALTED
    assert target.memory.get(target.buffer(0), 2 * PAGE) == bytes(2 * PAGE)


def test_loggers_that_print_memory_are_silenced() -> None:
    """Whoever switched pyOCD's traces on, production switches them off."""
    trace = logging.getLogger("pyocd.coresight.ap.trace")
    trace.setLevel(logging.DEBUG)
    PyocdProgrammer("bench", "stm32wle5jc", 4000).connect()
    assert not trace.isEnabledFor(logging.ERROR)
