"""lorafab/virtual/stm32/usart.py: frames and their time, flags, interrupts, FIFOs, sleep."""

from typing import ClassVar

import pytest

from lorafab.virtual.clock import NS_PER_S
from tests_virtual.stm32.bench import MS, US, Bench
from tests_virtual.stm32.conftest import Make

CR1, CR2, CR3, BRR, RQR, ISR, ICR, RDR, TDR, PRESC = 0x00, 0x04, 0x08, 0x0C, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C
UE, UESM, RE, TE = 1, 2, 4, 8
PE, FE, NE, ORE, IDLE, RXNE, TC, TXE = (1 << n for n in range(8))
ON = UE | RE | TE
FIFOEN, M0, M1, PCE, PS, OVER8 = 1 << 29, 1 << 12, 1 << 28, 1 << 10, 1 << 9, 1 << 15
BYTE = 86_875  # ns: 10 bits of 139 clocks at 16 MHz


def _open(bench: Bench, control: int = ON, name: str = "console", brr: int = 139) -> None:
    bench.start_hsi16()
    bench.enable(name)
    bench.write(name, BRR, brr)
    bench.write(name, CR1, control)


def _receive(bench: Bench, data: bytes, errors: int = 0, name: str = "console") -> None:
    bench.part(name).receive(data, errors)


def _byte_ns(bench: Bench, name: str = "console") -> int:
    return int(bench.part(name).byte_ns)


class TestFrameTime:
    """How long a character takes."""

    @pytest.mark.parametrize(
        ("control", "stop", "half_bits"),
        [
            (ON, 0, 20), (ON, 2, 22), (ON, 1, 19), (ON, 3, 21), (ON | M0, 0, 22), (ON | M1, 0, 18),
            (ON | M0 | PCE, 0, 22), (ON | PCE, 0, 20),
        ],
    )  # fmt: skip
    def test_word_and_stop_bits(self, bench: Bench, control: int, stop: int, half_bits: int) -> None:
        """7, 8 and 9 bits (parity among them), 0.5 to 2 stop bits, at 16 MHz / 160 = 100 kbit/s."""
        _open(bench, 0, brr=160)
        bench.write("console", CR2, stop << 12)
        bench.write("console", CR1, control)
        assert _byte_ns(bench) == half_bits * 5_000
        bench.write("console", TDR, 0x55)
        bench.wait(half_bits * 5_000 - 1)
        assert bench.sent == []
        bench.wait(1)
        assert len(bench.sent) == 1

    def test_oversampling_by_eight(self, bench: Bench) -> None:
        """BRR 0x1_0_4 with OVER8: USARTDIV 0x108 / 2 = 132 clocks a bit."""
        _open(bench, ON | OVER8, brr=0x104)
        assert _byte_ns(bench) == 10 * 132 * NS_PER_S // 16_000_000
        assert bench.part("console").baud == round(16_000_000 / 132)

    def test_prescaler_of_the_wl(self, make: Make) -> None:
        """PRESC 1 halves the kernel clock; L0 has no such register."""
        bench = make("wl")
        _open(bench, 0)
        bench.write("console", PRESC, 1)
        bench.write("console", CR1, ON)
        assert _byte_ns(bench) == 2 * BYTE

    @pytest.mark.parametrize(("hz", "brr"), [(32_768, 0x369), (16_000_000, 426_667)])
    def test_lpuart_counts_in_256ths(self, bench: Bench, hz: int, brr: int) -> None:
        """9600 baud from LSE (BRR 873) and from HSI16."""
        bench.start_lse()
        _open(bench, 0, "lpuart1", brr)
        select = 0x4C if bench.family == "l0" else 0x88
        bench.set("clocks", select, (3 if hz == 32_768 else 2) << 10)
        bench.write("lpuart1", CR1, ON)
        assert bench.part("lpuart1").baud == pytest.approx(9600, rel=0.002)
        assert _byte_ns(bench, "lpuart1") == pytest.approx(10 / 9600 * NS_PER_S, rel=0.002)
        assert bench.complaints == []

    def test_divider_below_the_limit_is_complained_about(self, bench: Bench) -> None:
        """LPUART wants BRR of 0x300 at least, USART 16."""
        _open(bench, ON, "lpuart1", 0x2FF)
        assert bench.complaints == ["lpuart1: BRR is 0x2ff, wanted at least 0x300"]

    def test_rate_is_fixed_while_enabled(self, bench: Bench) -> None:
        """BRR, M, parity and stop bits change only with UE 0."""
        _open(bench)
        bench.write("console", BRR, 1000)
        bench.write("console", CR1, ON | M0)
        assert _byte_ns(bench) == BYTE
        assert len(bench.complaints) == 2

    def test_off_means_no_rate(self, bench: Bench) -> None:
        """``baud`` is 0 until UE, clock and BRR are there."""
        _open(bench, 0)
        assert bench.part("console").baud == 0
        bench.write("console", CR1, UE)
        assert bench.part("console").baud == 115_108


class TestSending:
    """TDR to the line."""

    def test_two_deep(self, bench: Bench) -> None:
        """One shifts, one waits with TXE 0; TC comes behind the last."""
        _open(bench)
        bench.write("console", TDR, 0x41)
        assert bench.read("console", ISR) & (TXE | TC) == TXE
        bench.write("console", TDR, 0x42)
        assert bench.read("console", ISR) & (TXE | TC) == 0
        bench.wait(BYTE)
        assert bench.sent == [0x41]
        assert bench.read("console", ISR) & (TXE | TC) == TXE
        bench.wait(BYTE)
        assert bench.sent == [0x41, 0x42]
        assert bench.read("console", ISR) & (TXE | TC) == TXE | TC

    def test_too_early_byte_replaces_the_waiting_one(self, bench: Bench) -> None:
        """As on the part."""
        _open(bench)
        for byte in b"abc":
            bench.write("console", TDR, byte)
        bench.wait(5 * BYTE)
        assert bytes(bench.sent) == b"ac"

    def test_nothing_leaves_while_off(self, bench: Bench) -> None:
        """TE 0."""
        _open(bench, UE | RE)
        bench.write("console", TDR, 0x41)
        bench.wait(MS)
        assert bench.sent == []

    def test_interrupts(self, bench: Bench) -> None:
        """TXEIE at once, TCIE at the end; writing ICR clears TC."""
        _open(bench, ON | 1 << 7)
        assert bench.line("usart")
        bench.write("console", CR1, ON | 1 << 6)
        assert bench.line("usart"), "TC is set after reset"
        bench.write("console", ICR, TC)
        assert not bench.line("usart")
        bench.write("console", TDR, 1)
        bench.wait(BYTE)
        assert bench.line("usart")

    def test_seven_bits_and_parity(self, bench: Bench) -> None:
        """With 7 data bits the eighth is not sent; nine data bits lose the ninth, visibly."""
        _open(bench, ON | PCE)
        bench.write("console", TDR, 0xFF)
        bench.wait(BYTE)
        assert bench.sent == [0x7F]
        assert bench.complaints == []
        bench.write("console", CR1, 0)
        bench.write("console", CR1, ON | M0)
        bench.write("console", TDR, 0x141)
        bench.wait(2 * BYTE)
        assert bench.sent[-1] == 0x41
        assert len(bench.complaints) == 1

    def test_pins_are_checked_where_the_profile_names_them(self, make: Make) -> None:
        """USART2 of this chip wants PA3 for RX."""
        bench = make("wl")
        bench.enable("gpioA")
        _open(bench, ON, "usart2")
        _receive(bench, b"x", name="usart2")
        bench.wait(MS)
        assert not bench.read("usart2", ISR) & RXNE
        assert "rx reaches no pin" in bench.complaints[0]
        bench.write("gpioA", 0x00, 0xABFF_FFFF & ~(3 << 6) | 2 << 6)
        bench.write("gpioA", 0x20, 7 << 12)
        _receive(bench, b"x", name="usart2")
        bench.wait(MS)
        assert bench.read("usart2", RDR) == ord("x")


class TestReceiving:
    """The line to RDR."""

    def test_byte_arrives_after_its_time(self, bench: Bench) -> None:
        """RXNE and interrupt; reading RDR clears both; BUSY meanwhile."""
        _open(bench, ON | 1 << 5)
        _receive(bench, b"A")
        assert bench.read("console", ISR) >> 16 & 1
        bench.wait(BYTE - 1)
        assert not bench.line("usart")
        bench.wait(1)
        assert bench.line("usart")
        assert bench.read("console", ISR) & RXNE
        assert bench.read("console", RDR) == 0x41
        assert not bench.line("usart")
        assert not bench.read("console", ISR) & (RXNE | 1 << 16)

    def test_overrun_keeps_the_first(self, bench: Bench) -> None:
        """ORE until ICR, with its interrupt by RXNEIE or EIE; the second byte is lost."""
        _open(bench)
        _receive(bench, b"AB")
        bench.wait(2 * BYTE)
        assert bench.read("console", ISR) & (ORE | RXNE) == ORE | RXNE
        assert bench.read("console", RDR) == 0x41
        assert not bench.read("console", ISR) & RXNE
        bench.set("console", CR3, 1)
        assert bench.line("usart")
        bench.write("console", ICR, ORE)
        assert not bench.read("console", ISR) & ORE
        assert not bench.line("usart")

    def test_ovrdis_keeps_the_last(self, bench: Bench) -> None:
        """No ORE."""
        _open(bench, 0)
        bench.write("console", CR3, 1 << 12)
        bench.write("console", CR1, ON)
        _receive(bench, b"AB")
        bench.wait(2 * BYTE)
        assert not bench.read("console", ISR) & ORE
        assert bench.read("console", RDR) == 0x42

    @pytest.mark.parametrize(("flag", "enable"), [(PE, (CR1, 1 << 8)), (FE, (CR3, 1)), (NE, (CR3, 1))])
    def test_errors_of_the_line(self, bench: Bench, flag: int, enable: tuple[int, int]) -> None:
        """PE, FE and NE stay until ICR and interrupt when enabled."""
        _open(bench)
        bench.set("console", *enable)
        _receive(bench, b"A", flag)
        bench.wait(BYTE)
        assert bench.read("console", ISR) & (PE | FE | NE) == flag
        assert bench.line("usart")
        bench.write("console", ICR, flag)
        assert not bench.read("console", ISR) & flag
        assert not bench.line("usart")

    def test_parity_bit_stands_on_top(self, bench: Bench) -> None:
        """Even parity of 0x41 (two ones) is 0, odd is 1; nine bits hold eight data bits."""
        _open(bench, ON | PCE)
        _receive(bench, b"\x41")
        bench.wait(BYTE)
        assert bench.read("console", RDR) == 0x41
        bench.write("console", CR1, 0)
        bench.write("console", CR1, ON | PCE | PS | M0)
        _receive(bench, b"\x41")
        bench.wait(2 * BYTE)
        assert bench.read("console", RDR) == 0x141

    def test_idle_line(self, bench: Bench) -> None:
        """IDLE comes one frame after the last of several bytes, once, with IDLEIE an interrupt."""
        _open(bench, ON | 1 << 4)
        _receive(bench, b"AB")
        bench.wait(3 * BYTE - 1)
        assert not bench.read("console", ISR) & IDLE
        bench.wait(1)
        assert bench.read("console", ISR) & IDLE
        assert bench.line("usart")
        bench.write("console", ICR, IDLE)
        bench.wait(10 * BYTE)
        assert not bench.read("console", ISR) & IDLE

    def test_character_match(self, bench: Bench) -> None:
        """CMF at the character in CR2.ADD."""
        _open(bench, 0)
        bench.write("console", CR2, 0x0A << 24)
        bench.write("console", CR1, ON | 1 << 14)
        _receive(bench, b"x\n")
        bench.wait(BYTE)
        assert not bench.line("usart")
        bench.wait(BYTE)
        assert bench.line("usart")
        assert bench.read("console", ISR) >> 17 & 1

    def test_deaf_while_off(self, bench: Bench) -> None:
        """RE 0; and UE 0 forgets what was there."""
        _open(bench, UE | TE)
        _receive(bench, b"A")
        bench.wait(BYTE)
        assert not bench.read("console", ISR) & RXNE
        bench.write("console", CR1, ON)
        _receive(bench, b"A")
        bench.wait(BYTE)
        bench.write("console", CR1, RE | TE)
        bench.write("console", CR1, ON)
        assert not bench.read("console", ISR) & RXNE

    def test_flush_request(self, bench: Bench) -> None:
        """RXFRQ."""
        _open(bench)
        _receive(bench, b"A")
        bench.wait(BYTE)
        bench.write("console", RQR, 8)
        assert not bench.read("console", ISR) & RXNE


class TestFifo:
    """The WL's eight characters each way."""

    TXFE, RXFF, RXFT, TXFT = (1 << n for n in (23, 24, 26, 27))

    def test_holds_nine_received_and_orders_them(self, make: Make) -> None:
        """Eight and RDR; RXFF then, and the tenth is an overrun."""
        bench = make("wl")
        _open(bench, ON | FIFOEN)
        _receive(bench, b"0123456789")
        bench.wait(8 * BYTE)
        assert not bench.read("console", ISR) & self.RXFF
        bench.wait(BYTE)
        assert bench.read("console", ISR) & self.RXFF
        assert not bench.read("console", ISR) & ORE
        bench.wait(BYTE)
        assert bench.read("console", ISR) & ORE
        assert bytes(bench.read("console", RDR) for _ in range(9)) == b"012345678"
        assert not bench.read("console", ISR) & RXNE

    def test_thresholds(self, make: Make) -> None:
        """RXFTCFG 2 is half full (4); TXFTCFG 5 is empty (8 free)."""
        bench = make("wl")
        _open(bench, 0)
        bench.write("console", CR3, 2 << 25 | 1 << 28 | 5 << 29)
        bench.write("console", CR1, ON | FIFOEN)
        _receive(bench, b"0123")
        bench.wait(3 * BYTE)
        assert not bench.line("usart")
        bench.wait(BYTE)
        assert bench.line("usart")
        assert bench.read("console", ISR) & self.RXFT
        assert bench.read("console", ISR) & self.TXFT
        bench.write("console", TDR, 1)
        bench.write("console", TDR, 2)
        assert not bench.read("console", ISR) & (self.TXFT | self.TXFE)
        bench.wait(BYTE)
        assert bench.read("console", ISR) & (self.TXFT | self.TXFE) == self.TXFT | self.TXFE

    def test_sends_nine_without_waiting(self, make: Make) -> None:
        """TXFNF falls when eight wait behind the one that shifts."""
        bench = make("wl")
        _open(bench, ON | FIFOEN)
        for byte in range(9):
            assert bench.read("console", ISR) & TXE
            bench.write("console", TDR, byte)
        assert not bench.read("console", ISR) & TXE
        bench.wait(9 * BYTE)
        assert bench.sent == list(range(9))
        assert bench.read("console", ISR) & TC

    def test_error_flags_belong_to_the_first_character(self, make: Make) -> None:
        """FE of the second shows once the first was read."""
        bench = make("wl")
        _open(bench, ON | FIFOEN)
        _receive(bench, b"A")
        _receive(bench, b"B", FE)
        bench.wait(2 * BYTE)
        assert not bench.read("console", ISR) & FE
        bench.read("console", RDR)
        assert bench.read("console", ISR) & FE

    def test_there_is_none_in_l0_and_l4(self, make: Make) -> None:
        """FIFOEN does not stay."""
        bench = make("l0")
        _open(bench, ON | FIFOEN)
        assert not bench.read("console", CR1) & FIFOEN


class TestSleep:
    """What Sleep and Stop do to it."""

    LINES: ClassVar = {"wl": 26, "l4": 26, "l0": 26}

    def test_hears_in_sleep(self, bench: Bench) -> None:
        """Its clock runs, unless SMENR takes it away."""
        _open(bench, ON | 1 << 5)
        bench.silicon.core_sleeps(False)
        _receive(bench, b"A")
        bench.wait(BYTE)
        assert bench.line("usart")

    def test_deaf_in_sleep_without_smen(self, bench: Bench) -> None:
        """USARTxSMEN 0."""
        _open(bench, ON | 1 << 5)
        offset, bit = bench.enable_bit("console")
        offset += 0x10 if bench.family == "l0" else 0x20
        bench.write("clocks", offset, bench.read("clocks", offset) & ~(1 << bit))
        bench.silicon.core_sleeps(False)
        _receive(bench, b"A")
        bench.wait(MS)
        assert not bench.line("usart")

    def test_deaf_in_stop(self, bench: Bench) -> None:
        """Without UESM."""
        _open(bench, ON | 1 << 5)
        bench.stop()
        _receive(bench, b"A")
        bench.wait(MS)
        bench.wake()
        assert not bench.line("usart")
        assert not bench.read("console", ISR) & RXNE

    def test_wakes_from_stop_on_hsi16(self, bench: Bench) -> None:
        """UESM with HSI16 as kernel clock: the byte is received in Stop, through an unmasked EXTI line."""
        name, position = ("usart2", 2) if bench.family == "l0" else ("usart1", 0)
        _open(bench, 0)
        bench.set("clocks", 0x4C if bench.family == "l0" else 0x88, 2 << position)
        bench.unmask(self.LINES[bench.family], rising=False)
        bench.write("console", CR3, 3 << 20 | 1 << 22)
        bench.write("console", CR1, ON | UESM)
        bench.stop()
        assert bench.silicon.hz(name) == 0
        _receive(bench, b"A")
        bench.wait(BYTE)
        assert bench.line("usart"), "WUF by RXNE"
        bench.wake()
        assert bench.read("console", ISR) & (RXNE | 1 << 20) == RXNE | 1 << 20
        bench.write("console", ICR, 1 << 20)
        assert bench.read("console", RDR) == 0x41
        assert not bench.line("usart")

    def test_start_bit_wakes_before_the_byte_is_there(self, bench: Bench) -> None:
        """WUS 2, from LSE in the LPUART."""
        bench.start_lse()
        bench.enable("lpuart1")
        bench.set("clocks", 0x4C if bench.family == "l0" else 0x88, 3 << 10)
        bench.unmask({"wl": 28, "l4": 31, "l0": 28}[bench.family], rising=False)
        bench.write("lpuart1", BRR, 0x369)
        bench.write("lpuart1", CR3, 2 << 20 | 1 << 22)
        bench.write("lpuart1", CR1, ON | UESM)
        bench.stop()
        _receive(bench, b"A", name="lpuart1")
        assert bench.line("lpuart")
        bench.wait(2 * MS)
        assert bench.read("lpuart1", RDR) == 0x41

    def test_byte_that_stop_cuts_is_lost_and_told(self, bench: Bench) -> None:
        """Firmware that does not wait for TC; the byte behind it is sent after waking."""
        _open(bench)
        bench.write("console", TDR, 0x41)
        bench.write("console", TDR, 0x42)
        bench.wait(10 * US)
        bench.stop()
        bench.wait(MS)
        bench.wake()
        bench.wait(10 * MS)
        assert bench.sent == [0x42]
        assert "clock stopped" in bench.complaints[0]


def test_unmodelled_modes_are_told(bench: Bench) -> None:
    """DMA, flow control and mute mode are visible."""
    _open(bench, 0)
    bench.write("console", CR3, 1 << 6)
    bench.write("console", CR3, 1 << 8)
    bench.write("console", CR1, 1 << 13)
    assert [sentence.split(": ")[1] for sentence in bench.complaints] == [
        "DMA is not modelled", "flow control with RTS and CTS is not modelled", "mute mode is not modelled",
    ]  # fmt: skip


def test_part_without_power_forgets_the_line(bench: Bench) -> None:
    """Neither a byte on its way in nor one on its way out survives."""
    _open(bench)
    _receive(bench, b"A")
    bench.write("console", TDR, 0x41)
    bench.silicon.power_off()
    bench.silicon.power_on()
    bench.wait(MS)
    assert bench.sent == []
    assert not bench.part("console").active
