"""What station, lot and product files may say: strict, frozen, nothing unknown.

Sizes and addresses are bytes, times are seconds. A key that is not listed here is a mistake in the file.
"""

import itertools
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from lorafab.domain.identity import REGIONS, SERIAL_SIZE, Eui64, KeySlot
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.label import check_pattern, tr005_text
from lorafab.domain.measurement import Spec
from lorafab.domain.memory_map import Area, MemoryMap, Span
from lorafab.domain.plan import Plan, Step

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
DATA_PREFIX = "{data}/"
FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A station, product or lot: also the name of a file or folder, so never a path."""

Text = Annotated[str, Field(min_length=1, max_length=512)]
Timeout = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Baud = Annotated[int, Field(ge=300, le=4_000_000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Address = Annotated[int, Field(ge=0, lt=1 << 32)]
Pin = Annotated[str, Field(pattern=r"^P([A-H](1[0-5]|[0-9])|[01]\.(3[01]|[12][0-9]|[0-9]))$")]
"""A microcontroller's pin: ``PA5`` of an STM32, ``P0.17`` of an nRF."""


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


def _eui(value: object) -> Eui64:
    if isinstance(value, Eui64):
        return value
    if not isinstance(value, str):
        raise ValueError("an EUI is written as 16 hex digits in quotes; without them YAML reads digits as a number")
    eui = Eui64.parse(value)
    if eui.is_reserved():
        raise ValueError("this EUI is reserved (all bits equal) and names nobody")
    return eui


Eui = Annotated[
    Eui64,
    BeforeValidator(_eui),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f]{16}$"}),
]

# --- station ---


class ManualJig(_Model):
    """The operator places the board; it is always powered."""

    driver: Literal["manual"]


class VirtualJig(_Model):
    """Virtual boards, one a run."""

    driver: Literal["virtual"]


class PyocdProgrammer(_Model):
    """pyOCD with exactly this probe (``pyocd list`` shows the ids)."""

    driver: Literal["pyocd"]
    probe: Text
    swd_khz: int = Field(default=4000, ge=10, le=50_000)


class SerialLink(_Model):
    """The serial line to the DUT."""

    driver: Literal["serial"]
    port: Text
    baud: Baud = 115_200
    reply_timeout_s: Timeout = 2.0


class PromptScanner(_Model):
    """The operator scans or types at the terminal."""

    driver: Literal["prompt"]
    timeout_s: Timeout = 300.0


class SerialScanner(_Model):
    """A barcode scanner on a serial port."""

    driver: Literal["serial"]
    port: Text
    baud: Baud = 9600
    timeout_s: Timeout = 60.0


class CameraScanner(_Model):
    """The jig's camera."""

    driver: Literal["camera"]


class ImageScanner(_Model):
    """A picture file that another program writes."""

    driver: Literal["image"]
    file: Text


class FolderScanner(_Model):
    """A folder into which another program puts pictures: the next new one is the label's."""

    driver: Literal["folder"]
    folder: Text
    """Relative to the project's root, unless absolute."""
    timeout_s: Timeout = 60.0


class TinydbStore(_Model):
    """Ledger and records in TinyDB files: one computer."""

    driver: Literal["tinydb"]


class PostgresqlStore(_Model):
    """Ledger in PostgreSQL: many computers. Records stay in TinyDB files of each."""

    driver: Literal["postgresql"]
    dsn_env: str = Field(default="LORAFAB_DSN", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    """Environment variable with the connection string, so that no password lies in a file."""


class VaultConfig(_Model):
    """Where keys are sealed to. Either a public key (production) or the demo vault (virtual stations)."""

    demo: bool = False
    public_key: Text | None = None
    """PEM file, relative to the project's root."""
    escrow_key: Text | None = None
    """PEM file of a second public key, whose private half lies offline: every key is sealed to it too."""
    mirror: Text | None = None
    """Folder on another disk that gets every sealed key too."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.demo == (self.public_key is not None):
            raise ValueError("give either `public_key` (make one with `lorafab vault init`) or `demo: true`, not both")
        return self


def _sorted_limits(value: Any) -> Any:
    if isinstance(value, tuple) and value == (None, None):
        raise ValueError("limits of [null, null] accept everything; give at least one")
    if isinstance(value, tuple) and len(value) == 2 and None not in value:
        low, high = value
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            raise ValueError(f"the low limit {low:g} is above the high limit {high:g}")
    return value


Limits = Annotated[tuple[Number | None, Number | None], BeforeValidator(_sorted_limits)]
"""``[low, high]``, inclusive, null for an open side."""


class StationConfig(_Model):
    """One place on the line: ``stations/<name>.yaml``."""

    station: Name
    product: Name | None = None
    """None: the lot's."""
    lot: Name
    jig: Annotated[ManualJig | VirtualJig, Field(discriminator="driver")]
    programmer: PyocdProgrammer
    link: SerialLink
    scanner: Annotated[
        PromptScanner | SerialScanner | CameraScanner | ImageScanner | FolderScanner, Field(discriminator="driver")
    ]
    store: Annotated[TinydbStore | PostgresqlStore, Field(discriminator="driver")]
    vault: VaultConfig
    limits: dict[str, Limits] = {}
    """Overrides the product's limits of a measurement, by name."""


def station_schema() -> dict[str, Any]:
    """JSON schema of a station file, for editors (``# yaml-language-server: $schema=...``)."""
    return StationConfig.model_json_schema()


# --- lot ---


def _otaa(value: object) -> object:
    if value == "ABP":
        raise ValueError("ABP is not taken: its session keys and frame counters would have to last for ever; use OTAA")
    return value


def _prefix(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f]{6,14}", value):
        raise ValueError(
            "the beginning of the chips' EUI-64s is written as 6 to 14 hex digits in quotes (an OUI has 6); "
            "without them YAML reads digits as a number"
        )
    return value.upper()


def _label_pattern(text: str) -> str:
    check_pattern(text)
    return text


Quantity = Annotated[int, Field(ge=1, le=1_000_000)]


class DevEuiRange(_Model):
    """DevEUIs one after the other, ``quantity`` of them from ``first`` on.

    ``label``: labels that were printed in advance name them. ``range``: board n of the lot, by its serial, has
    ``first`` + n; no counter is kept anywhere.
    """

    source: Literal["label", "range"]
    first: Eui
    quantity: Quantity

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.first.value + self.quantity >= 1 << 64:
            raise ValueError(f"{self.quantity} DevEUIs from {self.first} on run beyond FFFFFFFFFFFFFFFF")
        return self

    @property
    def values(self) -> range:
        """All of them, as numbers."""
        return range(self.first.value, self.first.value + self.quantity)


class FactoryDevEuis(_Model):
    """DevEUIs that the maker of the chip, of a memory beside it or of a secure element put into it: known when the
    hardware was read.
    """

    source: Literal["chip", "external", "secure-element"]
    prefix: Annotated[str, BeforeValidator(_prefix)]
    """How all of them begin: 6 to 14 hex digits, upper case."""
    quantity: Quantity

    @property
    def values(self) -> range:
        """All numbers that they may have."""
        free = 4 * (16 - len(self.prefix))
        return range(int(self.prefix, 16) << free, int(self.prefix, 16) + 1 << free)


class Serials(_Model):
    """Serials of the lot: the prefix, then a number of exactly ``digits`` digits, from ``first`` on."""

    prefix: str = Field(default="", pattern=r"^[0-9A-Z-]{0,15}$")
    digits: int = Field(ge=1, le=SERIAL_SIZE)
    first: int = Field(default=1, ge=0, lt=10**SERIAL_SIZE)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (length := len(self.prefix) + self.digits) > SERIAL_SIZE:
            raise ValueError(f"serials would have {length} characters, the identity block holds {SERIAL_SIZE}")
        return self

    def text(self, index: int) -> str:
        """Serial of board ``index`` of the lot, from 0 on."""
        return f"{self.prefix}{self.first + index:0{self.digits}}"

    def index(self, text: str) -> int | None:
        """Board number, from 0 on, of a serial; None for one of another form, or before the first."""
        number = text.removeprefix(self.prefix)
        if len(text) != len(self.prefix) + self.digits or len(number) != self.digits:
            return None
        index = int(number) - self.first if number.isascii() and number.isdecimal() else -1
        return index if index >= 0 else None

    @property
    def pattern(self) -> str:
        """A label that carries the serial alone, as a regular expression with the group ``serial``."""
        return f"(?P<serial>{re.escape(self.prefix)}[0-9]{{{self.digits}}})"


class LotConfig(_Model):
    """A production order: ``stations/lots/<lot>.yaml``."""

    lot: Name
    product: Name
    kind: Literal["demo", "production"]
    join_eui: Eui
    ledger: Text | None = None
    """Id of the ledger that the lot belongs to (``lorafab ledger init`` prints it); a demo lot has none."""
    dev_eui: Annotated[DevEuiRange | FactoryDevEuis, Field(discriminator="source")]
    serial: Serials
    label_pattern: Annotated[Text, AfterValidator(_label_pattern)] | None = None
    """Labels of a form of their own: a regular expression with groups named serial, dev_eui, join_eui."""
    symbology: Literal["qr", "datamatrix"] = "qr"
    """Of the labels that lorafab prints; readers take both."""
    profile: str = Field(default="FFFF0000", pattern=r"^[0-9A-F]{8}$")
    """TR005 ProfileID; FFFF0000 when no VendorID was assigned."""
    lorawan: Literal["1.0.2", "1.0.3", "1.0.4", "1.1"]
    region: str | None = None
    activation: Annotated[Literal["OTAA"], BeforeValidator(_otaa)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_region(self.region)
        if self.kind == "production" and self.ledger is None:
            raise ValueError("a production lot names its ledger (`ledger: <id>`, see `lorafab ledger init`)")
        first, digits = self.serial.first, self.serial.digits
        if len(str(first + self.quantity - 1)) > digits:
            raise ValueError(f"{self.quantity} boards from number {first} on need more than {digits} digits of serial")
        if self.dev_eui.source == "label":
            if self.label_pattern is not None and "dev_eui" not in re.compile(self.label_pattern).groupindex:
                raise ValueError(
                    "label_pattern has no group dev_eui, but dev_eui.source is label: the label must name the DevEUI; "
                    "add (?P<dev_eui>...), or choose the source range"
                )
        elif re.fullmatch("[0-9A-F]{16}", self.serial.text(0)):
            raise ValueError(
                f"a serial like {self.serial.text(0)} alone on a label reads as a DevEUI; give it fewer digits or a "
                "prefix with a letter above F"
            )
        return self

    @property
    def quantity(self) -> int:
        """Boards of the lot."""
        return self.dev_eui.quantity

    @property
    def key_slots(self) -> tuple[KeySlot, ...]:
        """Root keys that a board of the lot is given (TS001-1.0.4, 6.1.1.3; LoRaWAN 1.1, 6.1.1.3)."""
        return ("appkey", "nwkkey") if self.lorawan == "1.1" else ("appkey",)

    @property
    def label_patterns(self) -> tuple[str, ...]:
        """What its labels may look like, beside TR005 and a bare DevEUI.

        The serial alone, too, unless the label has to name the DevEUI.
        """
        own = () if self.label_pattern is None else (self.label_pattern,)
        return own if self.dev_eui.source == "label" else (*own, self.serial.pattern)

    def index_of(self, dev_eui: Eui64) -> int | None:
        """Number of this DevEUI in the lot, from 0 on; None for one of another lot, or that hardware decides."""
        values = self.dev_eui.values
        return dev_eui.value - values.start if self._in_order and dev_eui.value in values else None

    def dev_eui_of(self, index: int) -> Eui64 | None:
        """DevEUI of board ``index``; None where hardware decides. Raises IndexError."""
        self._check(index)
        return Eui64(self.dev_eui.values.start + index) if self._in_order else None

    def index_of_serial(self, serial: str) -> int | None:
        """Number of this serial in the lot, from 0 on; None for one of another lot."""
        index = self.serial.index(serial)
        return index if index is not None and index < self.quantity else None

    def serial_of(self, index: int) -> str:
        """Serial of board ``index``, 0 .. quantity - 1. Raises IndexError."""
        self._check(index)
        return self.serial.text(index)

    def label_text(self, index: int) -> str:
        """What is printed on label ``index``, 0 .. quantity - 1. Raises IndexError.

        A TR005 text with DevEUI and serial; the serial alone where hardware decides the DevEUI, which nobody knows
        before the board is made.
        """
        dev_eui, serial = self.dev_eui_of(index), self.serial_of(index)
        return serial if dev_eui is None else tr005_text(self.join_eui, dev_eui, self.profile, serial)

    @property
    def _in_order(self) -> bool:
        return isinstance(self.dev_eui, DevEuiRange)

    def _check(self, index: int) -> None:
        if not 0 <= index < self.quantity:
            raise IndexError(f"lot {self.lot} has labels 0 to {self.quantity - 1}, not {index}")


def _check_region(region: str | None) -> None:
    if region is not None and region not in REGIONS:
        raise ValueError(f"region {region[:16]!r} is unknown; known regions: {', '.join(REGIONS)}")


# --- product ---


class SpanConfig(_Model):
    """``size`` bytes of memory from ``start`` on."""

    start: Address
    size: int = Field(gt=0, le=1 << 32)

    @property
    def span(self) -> Span:
        """As the domain knows it."""
        return Span(self.start, self.size)


class ImageConfig(_Model):
    """The firmware image, a file of the product's folder."""

    file: str = Field(pattern=r"^(\.\./[A-Za-z0-9][A-Za-z0-9_-]{0,31}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """In the product's folder, or in another product's: ``../endnode-wle5/endnode-wle5.hex``."""
    product: Name | None = None
    """Product that the note in the image names, where that is another one."""
    version: Text | None = None
    """Compared with the note in the image."""
    base: Address | None = None
    """Address of a .bin file's first byte; other formats carry their own."""
    manifest: str | None = Field(default=None, pattern=FILE_PATTERN)
    """File of the image's folder that pins its SHA-256."""


class MemoryConfig(_Model):
    """The product's places in its MCU's memory; all but ``ram`` are whole pages of the flash or the data EEPROM."""

    flash: SpanConfig
    ram: SpanConfig
    page_size: int = Field(gt=0, le=1 << 20)
    """Bytes that the flash erases at once."""
    word_size: int = Field(gt=0, le=256)
    """Bytes that the flash programs at once."""
    eeprom: SpanConfig | None = None
    """Data EEPROM, for MCUs that have one."""
    code: SpanConfig
    identity: SpanConfig | None = None
    """Page of the identity block, or of what the firmware itself keeps there; None where it is not in these memories.
    """
    nvm: SpanConfig
    nvm_layout: Literal["lorafab-endnode"]

    @model_validator(mode="after")
    def _apart(self) -> Self:
        places = {name: found.span for name in ("code", "identity", "nvm") if (found := getattr(self, name))}
        flash = self.flash.span
        for name, span in places.items():
            if name != "code" and self.eeprom is not None and self.eeprom.span.contains(span):
                if span.start % 4 or span.size % 4:
                    raise ValueError(f"{name} {span} is not whole words of 4 bytes of the data EEPROM")
                continue
            if not flash.contains(span):
                raise ValueError(f"{name} {span} lies outside the flash {flash}")
            if (span.start - flash.start) % self.page_size or span.size % self.page_size:
                raise ValueError(f"{name} {span} is not whole pages of {self.page_size:#x} bytes")
        for one, other in itertools.combinations(places, 2):
            if places[one].overlaps(places[other]):
                raise ValueError(f"{one} {places[one]} overlaps {other} {places[other]}")
        return self

    def memory_map(self, areas: tuple[Area, ...]) -> MemoryMap:
        """As the flash planner wants it; ``areas`` are the MCU's."""
        return MemoryMap(
            areas=areas,
            code=self.code.span,
            nvm=self.nvm.span,
            identity=None if self.identity is None else self.identity.span,
        )


class FlashStore(_Model):
    """Identity block v1 in ``memory.identity``, a page of the flash, written together with the image."""

    store: Literal["flash"]


class EepromStore(_Model):
    """Identity block v1 in ``memory.identity``, words of the MCU's data EEPROM."""

    store: Literal["eeprom"]


class ExternalStore(_Model):
    """Identity block v1 at the beginning of a memory behind the MCU's SPI pins, written by a program in its RAM."""

    store: Literal["external"]
    part: str = Field(pattern=r"^[a-z0-9]{1,16}$")
    """Such as ``at25sf041``; lorafab/targets/spi_memories.py has those that are known."""
    address: int = Field(default=0, ge=0, lt=1 << 24)
    """Of the block in the part; nothing else may live in the sector or the pages that it touches."""
    bus: str = Field(pattern=r"^spi[0-9]$")
    """Which of the MCU's SPI peripherals."""
    sck: Pin
    miso: Pin
    mosi: Pin
    select: Pin
    """Pin of the part's chip select, active low."""
    others: tuple[Pin, ...] = Field(default=(), max_length=4)
    """Chip selects of other parts on the bus, which are held high meanwhile."""
    ouis: tuple[Annotated[str, Field(pattern=r"^[0-9A-F]{6}$")], ...] = ()
    """How the part's factory EUI-64 may begin, where that is not with one of its maker's own numbers."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        pins = (self.sck, self.miso, self.mosi, self.select, *self.others)
        for pin in pins:
            if pins.count(pin) > 1:
                raise ValueError(f"pin {pin} is named twice; every signal has a pin of its own")
        return self


class SerialStore(_Model):
    """The running firmware takes its identity by commands on the serial line."""

    store: Literal["serial"]
    dialect: Literal["lorafab", "st-at-slave", "rui3", "lora-e5", "rn2483", "abz"]


class ElementStore(_Model):
    """A secure element brings DevEUI, JoinEUI and key; the key never leaves it."""

    store: Literal["secure-element"]
    element: Literal["atecc608-tnglora"]
    manifest: Text
    """The maker's signed manifest: a JSON file, relative to the project's root; ``{data}/`` for virtual elements."""
    signer: Text
    """PEM file with the certificate of the manifest's signer, relative to the project's root."""


class BuildStore(_Model):
    """The image is built for each board, its identity in a header: the last resort."""

    store: Literal["build"]
    template: str = Field(pattern=FILE_PATTERN)
    """Header in the product's folder with placeholders such as ``${app_key_c}``, see domain/identity_header.py."""
    header: str = Field(pattern=FILE_PATTERN)
    """Name under which the build finds the header, in the folder ``{private}``."""
    command: tuple[Text, ...] = Field(min_length=1)
    """Program and arguments, run in ``firmware/`` without a shell; ``{private}`` is the board's private folder,
    ``{python}`` the interpreter that runs lorafab."""
    output: str = Field(pattern=FILE_PATTERN)
    """Image that the build leaves in ``{private}``."""
    timeout_s: Timeout = 120.0


IdentityConfig = Annotated[
    FlashStore | EepromStore | ExternalStore | SerialStore | ElementStore | BuildStore, Field(discriminator="store")
]
"""Where the identity lives on the board."""


class LockConfig(_Model):
    """How the board is closed as the last step: readable by nobody's probe."""

    level: Literal["rdp1", "approtect"]
    """Read-out protection level 1 of an STM32, access port protection of an nRF52."""


class MeasurementConfig(_Model):
    """What a step owes: limits, or an exact value, and why."""

    unit: str = Field(default="", max_length=16)
    limits: Limits | None = None
    equals: str | int | Number | None = None
    marginal: float = Field(default=0.0, ge=0, le=0.5, allow_inf_nan=False)
    """Share of the limit range next to either limit that passes with a warning."""
    why: str = ""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.limits is None) == (self.equals is None):
            raise ValueError("give either `limits: [low, high]` or `equals: value`")
        return self

    def spec(self, name: str) -> Spec:
        """As the domain knows it."""
        low, high = self.limits or (None, None)
        return Spec(name, self.unit, low, high, self.equals, self.marginal, self.why)


_MEASUREMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")


class StepConfig(_Model):
    """One step of the plan: a test below tests_production/ and its measurements."""

    test: str = Field(pattern=r"^test_[A-Za-z0-9_]+::test_[A-Za-z0-9_]+$")
    title: Text
    measurements: dict[str, MeasurementConfig] = {}

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in self.measurements:
            if not _MEASUREMENT.fullmatch(name):
                raise ValueError(f"measurement {name[:48]!r} is named with letters, digits and _ only")
        return self


class ProductConfig(_Model):
    """Board, firmware, memory map and plan: ``firmware/<product>/product.yaml``."""

    product: Name
    board: Text
    mcu: str = Field(pattern=r"^[a-z0-9]{1,16}$")
    virtual_board: str | None = Field(default=None, pattern=r"^[a-z0-9]{1,16}$")
    """What a virtual jig makes new boards of, such as ``l072``; None for its default."""
    region: str | None = None
    """For lots that name none."""
    image: ImageConfig
    memory: MemoryConfig
    identity: IdentityConfig
    lock: LockConfig | None = None
    """None: the board stays open."""
    opens_new_chips: bool = False
    """The chips come locked from their maker (nRF52840 from build code F0 on): one that has nothing to lose is erased
    and opened without a permit.
    """
    plan: tuple[StepConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_region(self.region)
        store, place = self.identity.store, self.memory.identity
        eeprom = self.memory.eeprom
        in_eeprom = place is not None and eeprom is not None and eeprom.span.contains(place.span)
        if store in ("flash", "eeprom") and (place is None or in_eeprom != (store == "eeprom")):
            where = "the data EEPROM (memory.eeprom)" if store == "eeprom" else "the flash"
            raise ValueError(f"identity.store is {store}: memory.identity must name its place in {where}")
        if store in ("flash", "eeprom") and place is not None and place.size < BLOCK_SIZE:
            raise ValueError(f"memory.identity has {place.size} bytes, the identity block {BLOCK_SIZE}; make it larger")
        tests = [step.test for step in self.plan]
        for test in tests:
            if tests.count(test) > 1:
                raise ValueError(f"the plan has {test} twice; a step is run once")
        return self

    def test_plan(self) -> Plan:
        """As the domain knows it, with the product's own limits."""
        return Plan(
            tuple(
                Step(step.test, step.title, tuple(one.spec(name) for name, one in step.measurements.items()))
                for step in self.plan
            )
        )
