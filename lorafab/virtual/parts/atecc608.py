"""Microchip ATECC608 as it is sold for LoRaWAN (TNGLORA): a secure element on two wires of I2C.

Sources: Microchip, ATECC608A-TNGLoRaWAN data sheet (DS40002165) and its online edition: *I/O Transactions* (count,
packet, CRC-16 0x8005 from 0, least significant byte first), *Device is Asleep* and *Device is Awake* (wake by a low
SDA, SCL ignored meanwhile, start, stop, acknowledge), *I2C Transmission* (answers byte by byte; a device that is busy,
idle or asleep acknowledges nothing), *Command Packets*. Slots 9 (JoinEUI, 8 bytes) and 10 (DevEUI, 16 ASCII digits):
The Things Industries, generic-node-se, ``tnglora_read_helper.c``. Places of the serial number, address encoding, status
codes and tWLO 60 us, tWHI 1500 us, watchdog 1.3 s: as for the ATECC508A (cryptoauthlib); *unverified* for this part, as
are its I2C address 0xB2, 1 ms for a Read and the revision number.

Modelled: wake, idle, sleep, watchdog, Read of the configuration zone and of slots 9 and 10, Info (revision). Every
other slot refuses to be read, as the root key's does; every other command is refused and complained about. There is no
key in here yet: nothing that the board does today needs one.

Serial number and DevEUI follow from the board's unique id, so that an element and its board stay together without a
store of their own; the DevEUI is locally administered. Settings: ``scl``, ``sda`` (pins, pulled up on the board),
``join_eui``.
"""

import hashlib
from enum import Enum

from lorafab.virtual.chip import At
from lorafab.virtual.clock import Event
from lorafab.virtual.silicon import Part, Silicon

ADDRESS = 0xB2
DEV_EUI_PREFIX = bytes.fromhex("024C46420A")
"""How the DevEUIs of virtual elements begin: locally administered, "LFB" in ASCII."""
WAKE_LOW_NS, WAKE_WAIT_NS, WATCHDOG_NS = 60_000, 1_500_000, 1_300_000_000
READ_NS = 1_000_000
_RESET, _SLEEP, _IDLE, _COMMAND = range(4)  # word addresses
_AFTER_WAKE, _PARSE_ERROR, _EXECUTION_ERROR, _COMMUNICATION_ERROR = 0x11, 0x03, 0x0F, 0xFF
_READ, _INFO = 0x02, 0x30
_CONFIG_ZONE, _DATA_ZONE, _WHOLE_BLOCK = 0, 2, 0x80
_REVISION = bytes.fromhex("00006002")
_JOIN_EUI_SLOT, _DEV_EUI_SLOT = 9, 10
_SHORTEST = 7  # count, opcode, two parameters of one and two bytes, CRC


def crc16(data: bytes) -> bytes:
    """Two bytes of checksum: polynomial 0x8005 from 0, data least significant bit first; low byte first."""
    crc = 0
    for byte in data:
        for bit in range(8):
            crc = crc << 1 & 0xFFFF ^ (0x8005 if (byte >> bit & 1) != crc >> 15 else 0)
    return crc.to_bytes(2, "little")


def group(packet: bytes) -> bytes:
    """A packet with its count before and its checksum behind it."""
    counted = bytes([len(packet) + 3]) + packet
    return counted + crc16(counted)


class _Phase(Enum):
    OFF = "not addressed"
    ADDRESS = "the address comes"
    IN = "bytes come"
    OUT = "bytes go"


class Atecc608(Part):
    """The element; ``serial`` (9 bytes), ``dev_eui`` and ``join_eui`` (8 bytes) are who it is."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        number = hashlib.sha256(b"element" + silicon.file.uid).digest()
        self.serial = b"\x01\x23" + number[:6] + b"\xee"
        self.dev_eui = DEV_EUI_PREFIX + number[6:9]
        self.join_eui = bytes.fromhex(str(at.settings["join_eui"]))
        self._scl, self._sda = str(at.settings["scl"]), str(at.settings["sda"])
        silicon.pins.watch(self._scl, self._clocked)
        silicon.pins.watch(self._sda, self._data_moved)
        self._powered = False
        self._forget()

    def _forget(self) -> None:
        self._watchdog: Event | None = None
        self._awake = False
        self._ready_ns = 0  # until then it hears nothing
        self._fell_ns: int | None = None
        self._answer, self._at = b"", 0
        self._drop()

    def _drop(self) -> None:
        self._phase, self._bits, self._value = _Phase.OFF, 0, 0
        self._word: int | None = None
        self._input = bytearray()
        self._acknowledged = False
        self._out = 0xFF

    def power_on(self) -> None:
        """Asleep; the resistors pull both lines up."""
        self._forget()
        self._powered = True
        self.silicon.pins.board_drives(self._scl, True)
        self.silicon.pins.board_drives(self._sda, True)

    def power_off(self) -> None:
        """Everything volatile is gone."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._powered = False
        self._forget()

    # the wires

    def _now(self) -> int:
        return self.silicon.clock.now_ns

    @property
    def _hears(self) -> bool:
        return self._powered and self._awake and self._now() >= self._ready_ns

    def _pull_down(self, low: bool) -> None:
        self.silicon.pins.board_drives(self._sda, not low)  # a chip's low wins, as on a wired-and line

    def _data_moved(self, level: bool) -> None:
        if self._powered and not self._awake:
            self._watch_for_wake(level)
        elif self._hears and self.silicon.pins.level(self._scl):
            if level:
                self._stop()
            else:
                self._drop()
                self._phase = _Phase.ADDRESS

    def _watch_for_wake(self, level: bool) -> None:
        if not level:
            self._fell_ns = self._now()
        elif self._fell_ns is not None and self._now() - self._fell_ns >= WAKE_LOW_NS:
            self._awake, self._ready_ns = True, self._now() + WAKE_WAIT_NS
            self._give(bytes([_AFTER_WAKE]))
            self._watchdog = self.silicon.clock.at(self._now() + WATCHDOG_NS, self._fall_asleep)

    def _fall_asleep(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._pull_down(False)
        self._forget()

    def _clocked(self, level: bool) -> None:
        if not self._hears or self._phase is _Phase.OFF:
            return
        if level:
            self._bits += 1
            data = self.silicon.pins.level(self._sda)
            if self._phase is _Phase.OUT:
                self._acknowledged = self._bits == 9 and not data
            elif self._bits <= 8:
                self._value = self._value << 1 | data
        elif self._phase is _Phase.OUT:
            self._send()
        else:
            self._receive()

    def _receive(self) -> None:
        """SCL fell while bytes come: acknowledge the eighth bit, let go behind the ninth."""
        if self._bits == 8:
            self._pull_down(self._take(self._value))
        elif self._bits == 9:
            self._pull_down(False)
            self._bits = self._value = 0

    def _send(self) -> None:
        """SCL fell while bytes go: the next bit, or the controller's turn to acknowledge."""
        if self._bits < 8:
            self._pull_down(not self._out >> (7 - self._bits) & 1)
        elif self._bits == 8:
            self._pull_down(False)
        elif self._acknowledged:  # by the controller; by itself, behind its address
            self._bits = 0
            self._next()
        else:
            self._drop()

    def _next(self) -> None:
        self._out = self._answer[self._at] if self._at < len(self._answer) else 0xFF
        self._at += 1
        self._pull_down(not self._out >> 7)

    def _take(self, byte: int) -> bool:
        """A byte came: whether it is acknowledged."""
        if self._phase is _Phase.ADDRESS:
            if byte | 1 != ADDRESS | 1 or (byte & 1 and not self._answer):
                self._drop()
                return False
            self._phase = _Phase.OUT if byte & 1 else _Phase.IN
        elif self._word is None:
            self._word = byte
        else:
            self._input.append(byte)
        return True

    def _stop(self) -> None:
        word, data = self._word, bytes(self._input)
        self._drop()
        if word == _RESET:
            self._at = 0
        elif word in (_SLEEP, _IDLE):
            self._fall_asleep()
        elif word == _COMMAND and data:
            self._execute(data)
        elif word is not None and word > _COMMAND:
            self.silicon.complain(f"{self.name}: word address {word:#04x} is none that it has")

    # commands

    def _give(self, packet: bytes) -> None:
        self._answer, self._at = group(packet), 0

    def _execute(self, data: bytes) -> None:
        whole = data[: data[0]]
        if len(whole) != data[0] or data[0] < _SHORTEST or crc16(whole[:-2]) != whole[-2:]:
            self.silicon.complain(f"{self.name}: a command came with a wrong count or checksum")
            self._give(bytes([_COMMUNICATION_ERROR]))
            return
        self._ready_ns = self._now() + READ_NS
        opcode, mode, address = whole[1], whole[2], int.from_bytes(whole[3:5], "little")
        if opcode == _READ and len(whole) == _SHORTEST:
            self._give(self._read(mode, address))
        elif opcode == _INFO and mode == 0:
            self._give(_REVISION)
        else:
            self.silicon.complain(f"{self.name}: command {opcode:#04x}, mode {mode:#04x} is not modelled")
            self._give(bytes([_PARSE_ERROR]))

    def _read(self, mode: int, address: int) -> bytes:
        """Read: 4 or 32 bytes.

        Address in the configuration zone: block in bits 4:3, word in bits 2:0; in the data zone: block in bits 11:8,
        slot in bits 6:3, word in bits 2:0.
        """
        size = 32 if mode & _WHOLE_BLOCK else 4
        zone, block, word = mode & 3, address >> 3 & 3, address & 7
        if zone == _DATA_ZONE:
            slot, block = address >> 3 & 0xF, address >> 8 & 0xF
            contents = {
                _JOIN_EUI_SLOT: self.join_eui,
                _DEV_EUI_SLOT: self.dev_eui.hex().upper().encode("ascii"),
            }.get(slot)
            if contents is None:
                return bytes([_EXECUTION_ERROR])  # secret, or of no use to anybody here
            memory = contents.ljust(96, b"\0")
        elif zone == _CONFIG_ZONE:
            memory = (self.serial[:4] + _REVISION + self.serial[4:]).ljust(128, b"\0")
        else:
            return bytes([_PARSE_ERROR])
        start = 32 * block + (0 if size == 32 else 4 * word)
        found = memory[start : start + size]
        return found if len(found) == size else bytes([_PARSE_ERROR])
