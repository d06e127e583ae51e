"""lorafab/virtual/faults: a plan says what it means or is refused, and a running board meets it when it should."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.errors import ConfigError
from lorafab.virtual import chips
from lorafab.virtual.chip import At
from lorafab.virtual.clock import Clock
from lorafab.virtual.faults import (
    FOREVER,
    Action,
    ActiveFaults,
    Dpidr,
    FaultPlan,
    FlashSize,
    Hang,
    Idcode,
    KeyLock,
    LinkFault,
    Lockup,
    NoAck,
    PowerCut,
    SlowErase,
    StuckBit,
    Swap,
    Uart,
    Unplug,
    Wait,
    WriteProtect,
    address,
    byte,
    host_byte,
    instruction,
    power_on,
    time,
    transfer,
    word,
)
from lorafab.virtual.faults.kinds import KINDS
from lorafab.virtual.silicon import Part

# --- the grammar ---


def test_the_items_that_need_no_trigger() -> None:
    """With spaces, a repeated one, and a trailing semicolon."""
    plan = FaultPlan.parse(
        " stuck_bit=0x0803E81C.3=0; stuck_bit = 0x08000000.7 = 1;unplug_after=5000; uart=silent; idcode=0x10016495;"
        "dpidr=1; flash_size=128; power_cut_at=0x0803E810; slow_erase=1000;"
    )
    assert plan == FaultPlan(
        (
            StuckBit(0x0803E81C, 3, 0), StuckBit(0x08000000, 7, 1), Unplug(at=transfer(5001)), Uart("silent"),
            Idcode(0x10016495), Dpidr(1), FlashSize(128), PowerCut(at=address(0x0803E810)), SlowErase(1000),
        )
    )  # fmt: skip


def test_every_trigger() -> None:
    """One line of text and the same in Python."""
    plan = FaultPlan.parse(
        "unplug@transfer:1500; wait@transfer:200*3; no_ack@time:1.5s+; power_cut@word:37; hang@instruction:20000;"
        "lockup@address:0x08000010; uart=drop@byte:12; uart=noisy@host_byte:1*4; swap@power_on:2; seed=7"
    )
    assert plan == FaultPlan(
        (
            Unplug(at=transfer(1500)), Wait(at=transfer(200, 3)), NoAck(at=time("1.5s", FOREVER)),
            PowerCut(at=word(37)), Hang(at=instruction(20000)), Lockup(at=address(0x08000010)),
            Uart("drop", at=byte(12)), Uart("noisy", at=host_byte(1, 4)), Swap(at=power_on(2)),
        ),
        seed=7,
    )  # fmt: skip


def test_what_a_plan_tells_the_parts() -> None:
    """The properties that flash, debug port and jig read; a healthy board tells them nothing."""
    plan = FaultPlan.parse(
        "wrp=5-6; wrp=1; rdp=1; key_lock; baud=9600; jig=open; dpidr=2; idcode=3; flash_size=64; slow_erase=9;"
        "stuck_bit=0x08000001.0=1"
    )
    for one in (plan, ActiveFaults(plan)):
        assert (one.protect_pages, one.rdp, one.key_lock, one.baud, one.jig) == ((1, 5, 6), 1, True, 9600, "open")
        assert (one.dpidr, one.idcode, one.flash_size, one.slow_erase) == (2, 3, 64, 9)
        assert one.stuck_bits == (StuckBit(0x08000001, 0, 1),)
    healthy = FaultPlan()
    assert (healthy.protect_pages, healthy.rdp, healthy.key_lock, healthy.baud, healthy.jig) == (
        (),
        None,
        False,
        None,
        None,
    )
    assert (healthy.dpidr, healthy.idcode, healthy.flash_size, healthy.slow_erase) == (None, None, None, 1)


def test_nothing_is_no_fault() -> None:
    """An empty text is a healthy board."""
    assert FaultPlan.parse("") == FaultPlan() == FaultPlan.parse(" ; ")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_example_of_each_kind_is_a_plan(kind: type) -> None:
    """What a refusal tells people to write is accepted."""
    (fault,) = FaultPlan.parse(kind.example).faults  # type: ignore[attr-defined]
    assert type(fault) is kind


def test_each_kind_is_in_the_table_of_the_grammar() -> None:
    """The module that reads the words documents all of them."""
    from lorafab.virtual.faults import text

    assert text.__doc__ is not None
    assert [kind for kind in KINDS if kind not in text.__doc__] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stuck=1", "use one of: baud, dpidr, flash_size"),
        ("uart", "write for example uart=silent"),
        ("uart=loud", "use silent, drop, garbage or noisy"),
        ("unplug_after=-1", "is not a number"),
        ("unplug_after=ten", "is not a number"),
        ("unplug=3", "takes no value"),
        ("unplug@transfer:0", "is not a count from 1"),
        ("unplug@transfer", "is not trigger:number"),
        ("unplug@packet:3", "'packet' is no trigger; use one of: transfer, word"),
        ("unplug@transfer:3*2", "happens once"),
        ("wait@word:3", "wait cannot happen at a word; use one of: transfer, time"),
        ("wait@transfer:3*0", "is not 1 or more"),
        ("wait@time:250", "write for example 250ms"),
        ("wait@time:0.5ns", "is not a time in whole ns"),
        ("hang", "write for example hang@byte:40"),
        ("uart=drop", "write for example uart=drop@byte:12"),
        ("dpidr=1@transfer:3", "it is there from the beginning"),
        ("slow_erase=0", "is not a number from"),
        ("slow_erase=100001", "is not a number from 1 to 100000;"),
        ("rdp=3", "is not a number from 0 to 2;"),
        ("idcode=0x100000000", "is not a number from 0 to 0xffffffff;"),
        ("idcode=1_000", "is not a number"),
        ("idcode=0b1", "is not a number"),
        ("unplug@byte:010", "is not a number"),
        ("power_cut_at=here", "write for example address:0x08000000"),
        ("wrp=6-5", "is not a page or first-last"),
        ("stuck_bit=0x08000000.8=1", "address.bit=level"),
        ("stuck_bit=0x08000000.1=1;stuck_bit=0x08000000.1=0", "given twice"),
        ("uart=silent;uart=garbage", "given twice"),
        ("wait@transfer:5;wait@transfer:5*2", "given twice"),
        ("power_cut@word:5;power_cut@word:6", "given twice"),
        ("seed=1;seed=1", "given twice"),
        ("seed=x", "is not a number from 0 to 65535"),
        ("seed=65536", "is not a number from 0 to 65535"),
        ("@", "name a YAML file behind the @"),
        ("@\0", "name a YAML file behind the @"),
        ("@nowhere.yaml", "nowhere.yaml cannot be read"),
    ],
)
def test_refusals_tell_what_is_allowed(text: str, says: str) -> None:
    """Each mistake is one sentence."""
    with pytest.raises(ConfigError) as refusal:
        FaultPlan.parse(text)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_happens_at_different_times_is_no_contradiction() -> None:
    """The same fault again, later."""
    plan = FaultPlan.parse(
        "wait@transfer:5; wait@transfer:9; uart=drop@byte:5; uart=drop@byte:9; hang@byte:1; hang@time:1s"
    )
    assert len(plan.faults) == 6


@pytest.mark.parametrize("text", ["stuck_bit=0x08040000.0=1", "power_cut@address:0x20000000", "hang@address:0"])
def test_an_address_must_be_in_the_flash_of_the_chip(text: str) -> None:
    """A fault that never happens would prove nothing."""
    plan = FaultPlan.parse(text)
    with pytest.raises(ConfigError, match="an STM32WLE5JC does not program, wanted 0x8000000 to 0x803ffff;"):
        plan.check(chips.named("wle5"))
    FaultPlan.parse("stuck_bit=0x0803FFFF.0=1; power_cut@address:0x08000000").check(chips.named("wle5"))


@pytest.mark.parametrize(("name", "last"), [("wle5", 127), ("l072", 47)])
def test_a_protected_page_must_be_one_of_the_chip(name: str, last: int) -> None:
    """Numbered as its write protection does: pages of 2 KiB, sectors of 4 KiB."""
    FaultPlan.parse(f"wrp={last}; wrp=0x0-{last:#x}").check(chips.named(name))
    with pytest.raises(ConfigError, match=f"wrp=3-{last + 1} names a page .* wanted 0 to {last};"):
        FaultPlan.parse(f"wrp=3-{last + 1}").check(chips.named(name))


def test_a_data_eeprom_can_be_at_fault_too() -> None:
    """The STM32L072 has one, and keys in it."""
    FaultPlan.parse("stuck_bit=0x080817FF.0=1; power_cut@address:0x08080000").check(chips.named("l072"))
    with pytest.raises(ConfigError, match="wanted 0x8000000 to 0x802ffff or 0x8080000 to 0x80817ff;"):
        FaultPlan.parse("stuck_bit=0x08081800.0=1").check(chips.named("l072"))


def test_a_chip_may_lack_what_a_fault_concerns() -> None:
    """Then the plan is refused; a fault that is quietly ignored would prove nothing."""

    class Simple(Part):
        lacks = frozenset({"key_lock"})

    chip = replace(chips.named("wle5"), parts=(At("clocks", Part), At("flash", Simple)))
    with pytest.raises(ConfigError, match="an STM32WLE5JC has nothing that key_lock could concern"):
        FaultPlan.parse("key_lock").check(chip)
    FaultPlan.parse("slow_erase=2").check(chip)


def test_an_nrf52_has_one_level_of_protection() -> None:
    """Any other number would quietly do the same or nothing."""
    FaultPlan.parse("rdp=1").check(chips.named("nrf52"))
    for level in (0, 2):
        with pytest.raises(ConfigError, match=f"an nRF52840 has no level {level} of read-out protection, wanted 1;"):
            FaultPlan.parse(f"rdp={level}").check(chips.named("nrf52"))


@given(st.text(max_size=60).filter(lambda text: not text.startswith("@")))
def test_any_text_is_a_plan_or_a_refusal(text: str) -> None:
    """Nothing else than ConfigError comes out."""
    with contextlib.suppress(ConfigError):
        FaultPlan.parse(text)


_counts = st.integers(1, 10**9)
_times = st.none() | st.integers(1, 1000) | st.just(FOREVER)
_any_when = st.one_of(
    st.builds(transfer, _counts),
    st.builds(word, _counts),
    st.builds(byte, _counts),
    st.builds(address, st.integers(0, 0xFFFF_FFFF)),
    st.builds(lambda ns: time(f"{ns}ns"), st.integers(0, 10**9 - 1)),
)
_faults = st.one_of(
    st.builds(StuckBit, st.integers(0, 0xFFFF_FFFF), st.integers(0, 7), st.integers(0, 1)),
    st.builds(Dpidr, st.integers(0, 0xFFFF_FFFF)),
    st.builds(KeyLock),
    st.builds(lambda first, more: WriteProtect(first, first + more), st.integers(0, 500), st.integers(0, 9)),
    st.builds(lambda at: Hang(at=at), _any_when),
    st.builds(lambda at: Unplug(at=at), st.none() | _any_when),
    st.builds(lambda number, times: Wait(at=transfer(number, times)), _counts, _times),
    st.builds(
        lambda kind, number, times: Uart(kind, at=byte(number, times)), st.sampled_from(Uart.words), _counts, _times
    ),
)


@given(st.lists(_faults, max_size=5), st.integers(0, 0xFFFF))
def test_a_plan_can_be_written_down_and_read_again(faults: list[StuckBit], seed: int) -> None:
    """``str`` gives the text of the same plan."""
    try:
        plan = FaultPlan(tuple(faults), seed)
    except ConfigError:
        return  # drew the same fault twice
    assert FaultPlan.parse(str(plan)) == plan


# --- the file ---


def write(folder: Path, text: str) -> str:
    """A plan's file; answers how it is named in the variable."""
    path = folder / "faults.yaml"
    path.write_text(text)
    return f"@{path}"


def test_a_file_says_the_same(tmp_path: Path) -> None:
    """Each part under its own key."""
    named = write(
        tmp_path,
        """
        seed: 7
        faults:
          - {fault: unplug, at: {transfer: 1500}}
          - {fault: wait, at: {time: 120ms}, times: 200}
          - {fault: no_ack, at: {transfer: 0x10}, times: forever}
          - {fault: stuck_bit, value: 0x08000003.5=0}
          - {fault: idcode, value: 0x10016415}
          - fault: uart      # noise from the start
            value: noisy
        """,
    )
    assert FaultPlan.parse(named) == FaultPlan.parse(
        "seed=7; unplug@transfer:1500; wait@time:120ms*200; no_ack@transfer:16+; stuck_bit=0x08000003.5=0;"
        "idcode=0x10016415; uart=noisy"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fault: []", ":1:1: the key 'fault' is not known; use one of: faults, seed"),
        ("faults: 3", ":1:1: `faults` is no list"),
        ("faults:\n- unplug", ":2:3: this is no fault"),
        ("faults:\n- {fault: unplug}\n- {fault: hug}", ":3:3: 'hug' is not name=value with a known name"),
        ("faults:\n- {fault: unplug, when: {transfer: 3}}", ":2:19: the key 'when' is not known"),
        ("faults:\n- {fault: unplug, at: {packet: 3}}", ":2:3: 'packet' is no trigger"),
        ("faults:\n- {fault: unplug, at: {transfer: 3, word: 3}}", ":2:3: `at` is not one trigger"),
        ("faults:\n- {fault: unplug, at: {transfer: 3.5}}", ":2:3: 3.5 is neither a word nor a whole number"),
        ("faults:\n- {fault: wait, times: 3}", ":2:3: `times` needs `at`"),
        ("faults:\n- {fault: wait, at: {transfer: 3}, times: often}", ":2:3: `times` is 'often'"),
        ("faults:\n- {fault: wait, fault: unplug}", ":2:"),
        ("seed: loud", ":1:1: seed='loud' is not a number"),
        ("seed: 65536", ":1:1: seed='65536' is not a number"),
        ("faults:\n- {fault: unplug}\n- {fault: unplug}", ":3:3: 'unplug' is given twice"),
        ("faults:\n- {fault: key_lock}\n- {fault: wrp, value: 128}", ":3:3: wrp=128 names a page"),
        ("faults:\n- {fault: hang, at: {address: 3}}", ":2:3: hang@address:0x3 concerns an address"),
    ],
)
def test_a_file_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """File, line, column, and what is allowed there."""
    with pytest.raises(ConfigError) as refusal:
        FaultPlan.parse(write(tmp_path, text)).check(chips.named("wle5"))
    assert f"faults.yaml{says}" in str(refusal.value)


# --- a running board ---


def started(text: str, clock: Clock | None = None) -> tuple[ActiveFaults, list[Action]]:
    """The faults of a board, and what happens to it."""
    happened: list[Action] = []
    return ActiveFaults(FaultPlan.parse(text), clock, happened.append), happened


def links(faults: ActiveFaults, first: int, last: int, now_ns: int = 0) -> list[LinkFault | None]:
    """Answers to the transfers ``first`` to ``last``."""
    return [faults.link(number, now_ns) for number in range(first, last + 1)]


def test_a_probe_that_is_unplugged_stays_away() -> None:
    """From the named transfer on; ``unplug_after`` lets so many through."""
    for text in ("unplug@transfer:3", "unplug_after=2"):
        faults, _ = started(text)
        assert faults.next_link_transfer(0) == 3
        assert links(faults, 1, 4) == [None, None, LinkFault.UNPLUG, LinkFault.UNPLUG]
        assert faults.next_link_transfer(4) == 5
    faults, _ = started("unplug")
    assert links(faults, 1, 2) == [LinkFault.UNPLUG] * 2


def test_a_debug_port_that_waits_for_a_while() -> None:
    """So many tries, then it answers again; another fault may follow."""
    faults, _ = started("wait@transfer:2*2; no_ack@transfer:6; parity@transfer:8+")
    assert [faults.next_link_transfer(0), faults.link(1, 0)] == [2, None]
    assert [faults.link(2, 0) for _ in range(3)] == [LinkFault.WAIT, LinkFault.WAIT, None]
    assert faults.next_link_transfer(2) == 6
    assert links(faults, 3, 7) == [None, None, None, LinkFault.NO_ACK, None]
    assert links(faults, 8, 10) == [LinkFault.PARITY] * 3
    assert faults.next_link_transfer(10) == 11


def test_a_connection_that_breaks_at_a_moment() -> None:
    """By the board's clock; the probe is told to look at each transfer."""
    faults, _ = started("no_ack@time:1ms; unplug@time:2ms")
    assert faults.link_by_time
    assert faults.next_link_transfer(0) is None
    assert [faults.link(1, ns) for ns in (999_999, 1_000_000, 1_000_001, 2_000_000)] == [
        None, LinkFault.NO_ACK, None, LinkFault.UNPLUG,
    ]  # fmt: skip
    assert not started("unplug@transfer:3")[0].link_by_time


def test_a_healthy_link_has_no_faults() -> None:
    """Other faults do not touch it."""
    faults, _ = started("uart=silent; stuck_bit=0x08000000.1=1; hang@time:1ms")
    assert links(faults, 1, 3, now_ns=5_000_000) == [None] * 3
    assert faults.next_link_transfer(3) is None
    assert not faults.link_by_time


def test_the_supply_fails_while_a_word_is_programmed() -> None:
    """By number or by any address inside the word, once; words of the chip's size."""
    faults, happened = started("power_cut@word:3; power_cut@address:0x0800000C")
    assert [faults.cuts_power(number, 0x08000000 + 8 * number) for number in (1, 2, 3, 4)] == [True, False, True, False]
    assert [faults.cuts_power(number, 0x08000000 + 8 * number) for number in (1, 3)] == [False, False]
    assert happened == []  # the flash does it, in the middle of the word
    narrow = ActiveFaults(FaultPlan.parse("power_cut@address:0x0800000C"), word_size=4)
    assert [narrow.cuts_power(1, 0x08000000 + at) for at in (0, 4, 8, 12)] == [False, False, False, True]


def test_what_happens_at_a_moment_survives_a_power_cycle() -> None:
    """The clock forgets its events when the supply goes; what has happened does not happen again."""
    clock = Clock()
    faults, happened = started("lockup@time:1ms; hang@time:3ms", clock)
    faults.power_on()
    clock.advance_to(1_500_000)
    assert happened == [Action.LOCKUP]
    clock.forget_events()
    faults.power_on()
    clock.advance_to(4_000_000)
    assert happened == [Action.LOCKUP, Action.HANG]
    faults.power_on()
    clock.advance_to(5_000_000)
    assert len(happened) == 2


def test_what_happens_at_a_byte_happens_when_the_uart_is_done_with_it() -> None:
    """The clock does it, at the same nanosecond."""
    clock = Clock()
    faults, happened = started("hang@byte:2; swap@host_byte:1; power_cut@transfer:4; lockup@word:1", clock)
    faults.board_byte(0)
    clock.advance_to(1)
    assert happened == []
    faults.board_byte(1)
    assert happened == []
    clock.advance_to(1)
    assert happened == [Action.HANG]
    faults.host_byte(1)
    faults.cuts_power(1, 0x08000000)
    clock.advance_to(1)
    assert happened == [Action.HANG, Action.SWAP, Action.LOCKUP]
    faults.link(4, 1)
    assert happened[-1] == Action.POWER_CUT


def test_what_happens_at_an_instruction() -> None:
    """The core asks how far it may run, and says how far it came."""
    faults, happened = started("lockup@instruction:200; hang@instruction:100")
    assert faults.instruction == (100, Action.HANG)
    faults.executed(99)
    assert happened == []
    faults.executed(100)
    assert happened == [Action.HANG]
    assert faults.instruction == (200, Action.LOCKUP)
    faults.executed(250)
    assert faults.instruction is None


def test_a_board_is_swapped_when_it_is_switched_on() -> None:
    """At the named power-on, and only then; other faults may wait for one, too."""
    clock = Clock()
    faults, happened = started("swap@power_on:2; hang@power_on:2", clock)
    assert [faults.power_on(), faults.power_on()] == [False, True]
    clock.advance_to(0)
    assert happened == [Action.HANG]
    assert not faults.power_on()


def test_the_serial_line_by_bytes_and_by_time() -> None:
    """Each wire counts for itself; the worse damage hides the other."""
    faults, _ = started("uart=drop@byte:2; uart=garbage@byte:3*2; uart=silent@host_byte:2; uart=noisy@time:1ms")
    assert [faults.board_byte(0) for _ in range(5)] == [
        (1, None), (2, "drop"), (3, "garbage"), (4, "garbage"), (5, None),
    ]  # fmt: skip
    assert faults.board_byte(1_000_000) == (6, "noisy")
    assert [faults.host_byte(0), faults.host_byte(0)] == [(1, None), (2, "silent")]
    assert faults.host_byte(1_000_000) == (3, "silent")


def test_noise_without_a_trigger_is_on_both_wires() -> None:
    """Silence is not: it is the board's output that is lost."""
    noisy, silent = started("uart=noisy")[0], started("uart=silent")[0]
    assert (noisy.board_byte(0), noisy.host_byte(0)) == ((1, "noisy"), (1, "noisy"))
    assert (silent.board_byte(0), silent.host_byte(0)) == ((1, "silent"), (1, None))
