"""RTC: calendar with sub-seconds, alarms A and B, wake-up timer, backup registers; goes on in Stop and Standby.

Two generations: that of L0 and L4 (flags in ISR), and that of the WL (flags in SR, cleared by SCR; binary mode, in
which SSR is a free 32-bit counter). Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``,
``stm32l072xx.h`` (RTC_TypeDef, TAMP_TypeDef). Rules: RTC chapters of RM0351 and RM0453. Unverified: INITF and RSF come
after 2 periods of RTCCLK, WUTWF and ALRxWF at once; flags can be cleared without DBP; without SSCLR a binary alarm
compares bits of a free counter; a shift acts at once.

Settings: ``family``, ``wl`` (default) or ``v2`` (L0, L4); ``backups``, number of backup registers of the ``v2`` (L0 5,
L4 32); ``irqs`` and ``exti``, interrupt numbers and EXTI lines by signal: ``alarm``, ``wakeup``, ``ssru``, such as
``{"alarm": 42, "wakeup": 3, "ssru": 2}`` and ``{"alarm": 17, "wakeup": 20, "ssru": 18}``; ``freeze``, its bit in the
DBGMCU; ``enable``. The clock is the RCC's ``rtc``.

Only power-on and the RCC's reset of the backup domain reset it. Not modelled and complained about: time stamps,
tampers, outputs, the 50 Hz reference; alarms in mixed mode that compare more bits than a second has.
"""

from collections.abc import Mapping

from lorafab.virtual.chip import At
from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32 import rtc_calendar as calendar
from lorafab.virtual.stm32.registers import Reg, Registers
from lorafab.virtual.stm32.rtc_calendar import Alarm
from lorafab.virtual.stm32.rtc_layout import registers_v2, registers_wl
from lorafab.virtual.stm32.ticks import Ticks, Watch

_KEYS = (0xCA, 0x53)
_SUB1H, _ADD1H = 1 << 17, 1 << 16
_WUTIE, _ALRBIE, _ALRAIE, _WUTE, _ALRBE, _ALRAE = 1 << 14, 1 << 13, 1 << 12, 1 << 10, 1 << 9, 1 << 8
_SSRUIE, _FMT, _BYPSHAD = 1 << 7, 1 << 6, 1 << 5
_INIT, _INITF, _RSF, _INITS, _SHPF, _WUTWF, _ALRBWF, _ALRAWF = (1 << n for n in range(7, -1, -1))
# Flags as SR of the WL has them; ISR of L0 and L4 has the first three from bit 8 on.
ALRAF, ALRBF, WUTF, SSRUF = 1, 2, 4, 1 << 6
_V2_SHIFT = 8
_ENABLES = ((_ALRAIE, ALRAF), (_ALRBIE, ALRBF), (_WUTIE, WUTF), (_SSRUIE, SSRUF))
_SIGNALS = {"alarm": ALRAF | ALRBF, "wakeup": WUTF, "ssru": SSRUF}
_UNPROTECTED = ("WPR", "SCR", "TAMPCR")  # besides the backup registers and the flags of ISR
_IN_INIT = ("TR", "DR", "PRER")
_SYNC_PERIODS = 2
_WHOLE = 1 << 32


class Rtc(Registers):
    """Flags are worked out when somebody looks, or in time for an interrupt that is enabled."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        self._wl = at.settings.get("family", "wl") == "wl"
        super().__init__(silicon, at)
        self._ticks = Ticks(silicon.clock)  # of ck_apre, from 0 when the calendar was set
        self._wakeups = Ticks(silicon.clock)  # of the wake-up timer's clock, from 0 when it was started
        self._watch = Watch(silicon.clock)
        self._event: Event | None = None
        self._syncing: dict[int, Event] = {}
        self._levels = dict.fromkeys(_SIGNALS, False)
        self._initialize()

    def layout(self) -> Mapping[str, Reg]:
        """RTC_TypeDef; ICSR stands for ISR of L0 and L4, too."""
        return registers_wl() if self._wl else registers_v2(int(self.settings.get("backups", 32)))

    # life

    def _initialize(self) -> None:
        self.r = {name: reg.reset for name, reg in self._layout.items()}
        self._flags = self._key = self._origin = 0
        self._open = False
        self._weekday = 1
        self._locked: dict[str, int] = {}  # shadow registers that wait until DR is read
        self._seen = self._seen_wakeups = 0
        self._ticks.set(0)

    def power_on(self) -> None:
        """There is no battery: the backup domain comes up reset."""
        self.backup_reset()

    def power_off(self) -> None:
        """Nothing is due any more."""
        for event in (self._event, *self._syncing.values()):
            if event is not None:
                event.cancel()
        self._event = None
        self._syncing.clear()
        self._watch.cancel()

    def backup_reset(self) -> None:
        """The backup domain is reset."""
        self.power_off()
        self._initialize()
        self._update()

    def wipe_backup(self) -> None:
        """Clear the backup registers."""
        for name in self.r:
            if name.startswith("BKP"):
                self.r[name] = 0

    def reset(self) -> None:
        """A system reset leaves it running; it only closes the write protection and the shadow registers."""
        self._open, self._key = False, 0
        self._locked.clear()
        self._watch.cancel()
        self._levels = dict.fromkeys(_SIGNALS, False)
        self._update()

    def on_sleep(self, depth: Sleep) -> None:
        """It does not sleep; but the clock may be HSE."""
        self._update()

    def on_halt(self, halted: bool) -> None:
        """DBG_RTC_STOP."""
        self._update()

    def clock_changed(self) -> None:
        """RTCCLK may have come or gone."""
        self._update()

    # time

    def _hz(self) -> int:
        dbgmcu = self.peer("dbgmcu")
        if dbgmcu is not None and "freeze" in self.settings and dbgmcu.freezes(self.settings["freeze"]):
            return 0
        return self.silicon.hz("rtc")

    @property
    def _binary(self) -> int:
        """ICSR.BIN: 0 calendar, 1 counter, 2 and 3 both."""
        return self.r["ICSR"] >> 8 & 3 if self._wl else 0

    @property
    def _modulus(self) -> int:
        """Ticks in a second of the calendar."""
        return 1 << 8 + (self.r["ICSR"] >> 10 & 7) if self._binary else (self.r["PRER"] & 0x7FFF) + 1

    @property
    def _cycle(self) -> int:
        """Ticks after which SSR begins again in binary mode: SSCLR lets alarm A (or B) end it early."""
        for letter, enable in (("A", _ALRAE), ("B", _ALRBE)):
            if self._wl and self.r[f"ALRM{letter}SSR"] >> 31 and self.r["CR"] & enable:
                return _WHOLE - self.r[f"ALR{letter}BINR"]
        return _WHOLE

    def _retime(self) -> None:
        """Set the rates of both counters."""
        hz, calibration = self._hz(), self.r["CALR"]
        minus = (calibration & 0x1FF) - (512 if calibration & 1 << 15 else 0)
        divider = (self.r["PRER"] >> 16 & 0x7F) + 1
        runs = not self.r["ICSR"] & _INITF
        self._ticks.set_rate(hz << 20 if runs else 0, divider * ((1 << 20) + minus))  # smooth calibration, RTC_CALR
        select = self.r["CR"] & 7
        wakeup_divider = 16 >> select if select < 4 else divider * self._modulus
        self._wakeups.set_rate(hz if self.r["CR"] & _WUTE else 0, wakeup_divider)

    @property
    def _wakeup_period(self) -> int:
        more = 1 << 16 if self.r["CR"] & 6 == 6 else 0
        return (self.r["WUTR"] & 0xFFFF) + 1 + more

    @property
    def _seconds(self) -> int:
        return self._origin + self._ticks.count // self._modulus

    def _subsecond(self) -> int:
        count = self._ticks.count
        if self._binary:
            return _WHOLE - 1 - count % self._cycle
        return self._modulus - 1 - count % self._modulus

    # alarms

    def _alarm(self, letter: str) -> Alarm:
        compared = self.r[f"ALRM{letter}SSR"] >> 24 & (0x3F if self._wl else 0xF)
        return Alarm(self.r[f"ALRM{letter}R"], self._alarm_subsecond(letter), min(compared, 32))

    def _alarm_subsecond(self, letter: str) -> int:
        return self.r[f"ALR{letter}BINR"] if self._wl else self.r[f"ALRM{letter}SSR"] & 0x7FFF

    def _next_alarm(self, letter: str, tick: int) -> int | None:
        """The first tick from ``tick`` on at which the alarm matches."""
        alarm = self._alarm(letter)
        if self._binary == 1:
            return self._next_binary(alarm, tick)
        twelve = bool(self.r["CR"] & _FMT)
        return alarm.next_tick(tick, self._origin, self._modulus, self._weekday, twelve)

    def _next_binary(self, alarm: Alarm, tick: int) -> int | None:
        offset, every = 0, self._modulus
        if self._cycle < _WHOLE:
            offset, every = _WHOLE - 1 - alarm.subsecond, self._cycle
        elif alarm.compared:
            every = 1 << alarm.compared
            offset = (_WHOLE - 1 - alarm.subsecond) % every
        return tick + (offset - tick) % every if offset < every else None

    def _work_out(self) -> None:
        """Set the flags of what has happened until now."""
        count = self._ticks.count
        if count > self._seen:
            for letter, enable, flag in (("A", _ALRAE, ALRAF), ("B", _ALRBE, ALRBF)):
                if self.r["CR"] & enable and not self._flags & flag:
                    tick = self._next_alarm(letter, self._seen + 1)
                    self._flags |= flag if tick is not None and tick <= count else 0
            if self._binary and count // _WHOLE > self._seen // _WHOLE:
                self._flags |= SSRUF
            self._seen = count
        wakeups = self._wakeups.count
        if wakeups // self._wakeup_period > self._seen_wakeups // self._wakeup_period:
            self._flags |= WUTF
        self._seen_wakeups = wakeups

    def _next(self, wanted: int) -> int | None:
        """When the first of these flags comes that is not set yet, in ns."""
        wanted &= ~self._flags
        count, moments = self._ticks.count, []
        for letter, enable, flag in (("A", _ALRAE, ALRAF), ("B", _ALRBE, ALRBF)):
            if wanted & flag and self.r["CR"] & enable and self._ticks.runs:
                tick = self._next_alarm(letter, count + 1)
                moments.append(None if tick is None else self._ticks.when(tick))
        if wanted & WUTF:
            period = self._wakeup_period
            moments.append(self._wakeups.when((self._wakeups.count // period + 1) * period))
        if wanted & SSRUF and self._binary and self._cycle == _WHOLE:
            moments.append(self._ticks.when((count // _WHOLE + 1) * _WHOLE))
        return min((moment for moment in moments if moment is not None), default=None)

    def _enabled(self) -> int:
        return sum(flag for enable, flag in _ENABLES if self.r["CR"] & enable)

    def _update(self) -> None:
        """After any change: work out flags, drive the interrupts, note the next moment."""
        self._work_out()
        self._retime()
        if self._event is not None:
            self._event.cancel()
            self._event = None
        at_ns = self._next(self._enabled())
        if at_ns is not None:
            self._event = self.silicon.clock.at(at_ns, self._due)
        self._signal()

    def _due(self) -> None:
        self._event = None
        self._update()

    def _signal(self) -> None:
        pending = self._flags & self._enabled()
        if self.silicon.sleep is Sleep.STANDBY:
            power = self.peer("power")
            if pending and power is not None:
                power.internal_wakeup()
            return
        for name, flags in _SIGNALS.items():
            level = bool(pending & flags)
            if level != self._levels[name]:
                self._levels[name] = level
                self._drive_signal(name, level)

    def _drive_signal(self, name: str, level: bool) -> None:
        irqs: dict[str, int] = self.settings.get("irqs", {})
        lines: dict[str, int] = self.settings.get("exti", {})
        if name in irqs or name in lines:
            self.drive(irqs.get(name), level, lines.get(name))

    # registers

    def read_register(self, name: str) -> int:
        """Time registers and flags; a program that polls them sees time pass."""
        if name in ("TR", "DR", "SSR"):
            self.look(self._watch, self._ticks.when(self._ticks.count + 1))
            return self._read_time(name)
        if name in ("SR", "MISR", "ICSR"):
            self._work_out()
            self.look(self._watch, self._next(ALRAF | ALRBF | WUTF | SSRUF))
            self._work_out()
        if name == "SR":
            return self._flags
        if name == "MISR":
            return self._flags & self._enabled()
        return self._status() if name == "ICSR" else self.r[name]

    def _read_time(self, name: str) -> int:
        if self.r["ICSR"] & _INITF and name != "SSR":
            return self.r[name]
        now = {
            "SSR": self._subsecond(),
            "TR": calendar.time_register(self._seconds, bool(self.r["CR"] & _FMT)),
            "DR": calendar.date_register(self._seconds, self._weekday),
        }
        value = self._locked.pop(name, now[name])
        if not self.r["CR"] & _BYPSHAD:
            # Reading SSR holds TR and DR, reading TR holds DR, until DR is read (BYPSHAD).
            if name == "SSR":
                self._locked = {"TR": now["TR"], "DR": now["DR"]} | self._locked
            elif name == "TR":
                self._locked.setdefault("DR", now["DR"])
            else:
                self._locked.clear()
        return value

    def _status(self) -> int:
        kept = self.r["ICSR"] & (_INIT | _INITF | _RSF | 0x1F00 * self._wl)
        year = calendar.date_register(self._seconds, 1) >> 16
        status = kept | (_INITS if year else 0)
        status |= 0 if self.r["CR"] & _WUTE else _WUTWF
        if not self._wl:
            status |= (self._flags & 7) << _V2_SHIFT
            status |= 0 if self.r["CR"] & _ALRAE else _ALRAWF
            status |= 0 if self.r["CR"] & _ALRBE else _ALRBWF
        return status

    def write_register(self, name: str, value: int) -> None:
        """Most want DBP, the keys of WPR, and the calendar or alarm to be stopped."""
        self._work_out()
        if name == "SCR":
            self._flags &= ~value
        elif name == "WPR":
            self._unlock(value & 0xFF)
        else:
            if name == "ICSR" and not self._wl:
                self._flags &= value >> _V2_SHIFT | ~7
            if self._may_write(name, value):
                self._write_open(name, value)
        self._update()

    def _unlock(self, key: int) -> None:
        self._open = self._key == 1 and key == _KEYS[1]
        self._key = 1 if key == _KEYS[0] else 0

    def _may_write(self, name: str, value: int) -> bool:
        power = self.peer("power")
        only_flags = name == "ICSR" and not (value ^ self.r["ICSR"]) & _INIT
        if power is not None and not power.backup_open and not only_flags:
            self.complain(f"write to {name} while PWR's DBP is 0 does nothing")
        elif not self._open and name not in _UNPROTECTED and not name.startswith("BKP"):
            if not only_flags:
                self.complain(f"write to {name} without the keys 0xCA, 0x53 in WPR does nothing")
        else:
            return True
        return False

    def _write_open(self, name: str, value: int) -> None:
        if name in _IN_INIT:
            if self.r["ICSR"] & _INITF:
                self.store(name, value)
            else:
                self.complain(f"write to {name} outside the initialization mode does nothing")
        elif name == "ICSR":
            self._write_status(value)
        elif name == "CR":
            self._write_control(value)
        elif name == "SHIFTR":
            self._shift(value)
        elif name[:3] == "ALR":
            self._write_alarm(name, value)
        elif name == "WUTR" and self.r["CR"] & _WUTE:
            self.complain("write to WUTR while WUTE is 1 does nothing")
        else:
            self.store(name, value)

    def _write_status(self, value: int) -> None:
        status = self.r["ICSR"]
        if not value & _RSF and status & _RSF:
            status &= ~_RSF
        if self._wl and status & _INITF:
            status = status & ~0x1F00 | value & 0x1F00
        self.r["ICSR"] = status
        if value & _INIT and not status & _INIT:
            self.r["ICSR"] = (status | _INIT) & ~_RSF
            self._after_sync(_INITF)
        elif not value & _INIT and status & _INIT:
            self._leave_init()
        elif not status & _RSF:
            self._after_sync(_RSF)

    def _leave_init(self) -> None:
        self.r["ICSR"] &= ~(_INIT | _INITF)
        if _INITF in self._syncing:
            self._syncing.pop(_INITF).cancel()
        seconds = calendar.time_seconds(self.r["TR"], bool(self.r["CR"] & _FMT))
        days = calendar.date_days(self.r["DR"])
        if seconds is None or days is None:
            self.complain(f"TR {self.r['TR']:#x} and DR {self.r['DR']:#x} are no time and date")
        seconds, days = seconds or 0, days or 0
        self._origin = days * calendar.DAY + seconds
        self._weekday = calendar.weekday_of_start(self.r["DR"], days)
        self._ticks.set(0)
        self._seen = 0
        self._locked.clear()
        self._after_sync(_RSF)

    def _after_sync(self, bit: int) -> None:
        """Set a status bit two periods of RTCCLK from now; never without that clock."""
        hz = self._hz()
        if hz and bit not in self._syncing:
            at_ns = self.silicon.clock.now_ns + _SYNC_PERIODS * NS_PER_S // hz
            self._syncing[bit] = self.silicon.clock.at(at_ns, lambda: self._synced(bit))

    def _synced(self, bit: int) -> None:
        del self._syncing[bit]
        if bit == _INITF:
            seconds = self._seconds
            self.r["TR"] = calendar.time_register(seconds, bool(self.r["CR"] & _FMT))
            self.r["DR"] = calendar.date_register(seconds, self._weekday)
        self.r["ICSR"] |= bit
        self._update()

    def _write_control(self, value: int) -> None:
        was = self.r["CR"]
        if was & value & _WUTE and (was ^ value) & 7:
            self.complain("write to WUCKSEL while WUTE is 1 does nothing")
            value = value & ~7 | was & 7
        self._origin += 3600 * (bool(value & _ADD1H) - bool(value & _SUB1H))
        self.store("CR", value & ~(_ADD1H | _SUB1H))
        if self.r["CR"] & ~was & _WUTE:
            self._wakeups.set(0)
            self._seen_wakeups = 0
        if self.r["CR"] & ~was & (_ALRAE | _ALRBE) and self._binary and self._cycle < _WHOLE:
            self._ticks.set(self._ticks.count % self._cycle)
            self._seen = self._ticks.count

    def _shift(self, value: int) -> None:
        """Add a second (ADD1S), take fractions of it away (SUBFS)."""
        moved = self._ticks.count + (self._modulus if value >> 31 else 0) - (value & 0x7FFF)
        self._origin += moved // self._modulus
        self._ticks.set(moved % self._modulus)
        self._seen = self._ticks.count
        self.r["ICSR"] &= ~_RSF
        self._after_sync(_RSF)

    def _write_alarm(self, name: str, value: int) -> None:
        letter = name[4] if name.startswith("ALRM") else name[3]
        enable = _ALRAE if letter == "A" else _ALRBE
        if self.r["CR"] & enable and not self.r["ICSR"] & _INITF:
            self.complain(f"write to {name} while ALR{letter}E is 1 does nothing")
            return
        self.store(name, value)
        if self._wl and name.endswith("SSR"):  # its SS and the low bits of ALRxBINR are the same
            binary = f"ALR{letter}BINR"
            self.r[binary] = self.r[binary] & ~0x7FFF | value & 0x7FFF
        elif name.endswith("BINR"):
            low = f"ALRM{letter}SSR"
            self.r[low] = self.r[low] & ~0x7FFF | value & 0x7FFF
        compared = self._alarm(letter).compared
        if self._binary > 1 and compared > self._modulus.bit_length() - 1:
            self.complain(f"alarm {letter} compares {compared} bits of SSR in mixed mode, more than a second has")
