"""What station, lot and product files may say: strict, frozen, nothing unknown.

Sizes and addresses are bytes, times are seconds. A key that is not listed here is a mistake in the file.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from lorafab.domain.flash_plan import MemoryMap
from lorafab.domain.identity import REGIONS, SERIAL_SIZE, Eui64, KeySlot
from lorafab.domain.label import tr005_text
from lorafab.domain.measurement import Spec
from lorafab.domain.memory_map import Span
from lorafab.domain.plan import Plan, Step

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
DATA_PREFIX = "{data}/"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A station, product or lot: also the name of a file or folder, so never a path."""

Text = Annotated[str, Field(min_length=1, max_length=512)]
Timeout = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Baud = Annotated[int, Field(ge=300, le=4_000_000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Address = Annotated[int, Field(ge=0, lt=1 << 32)]


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
    product: Name
    lot: Name
    jig: Annotated[ManualJig | VirtualJig, Field(discriminator="driver")]
    programmer: PyocdProgrammer
    link: SerialLink
    scanner: Annotated[PromptScanner | SerialScanner | CameraScanner | ImageScanner, Field(discriminator="driver")]
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


class DevEuis(_Model):
    """Where the lot's DevEUIs come from: labels were printed in advance, ``quantity`` of them from ``first`` on."""

    source: Literal["label"]
    first: Eui
    quantity: int = Field(ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.first.value + self.quantity >= 1 << 64:
            raise ValueError(f"{self.quantity} DevEUIs from {self.first} on run beyond FFFFFFFFFFFFFFFF")
        return self


class Serials(_Model):
    """Serials on the labels that lorafab prints: the prefix, then the board's number in the lot from 1 on."""

    prefix: str = Field(default="", pattern=r"^[0-9A-Z-]{0,15}$")
    digits: int = Field(ge=1, le=SERIAL_SIZE)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (length := len(self.prefix) + self.digits) > SERIAL_SIZE:
            raise ValueError(f"serials would have {length} characters, the identity block holds {SERIAL_SIZE}")
        return self


class LotConfig(_Model):
    """A production order: ``stations/lots/<lot>.yaml``."""

    lot: Name
    product: Name
    kind: Literal["demo", "production"]
    join_eui: Eui
    ledger: Text | None = None
    """Id of the ledger that the lot belongs to (``lorafab ledger init`` prints it); a demo lot has none."""
    dev_eui: DevEuis
    serial: Serials
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
        if len(str(self.dev_eui.quantity)) > self.serial.digits:
            raise ValueError(f"{self.dev_eui.quantity} boards need more than {self.serial.digits} digits of serial")
        return self

    @property
    def key_slots(self) -> tuple[KeySlot, ...]:
        """Root keys that a board of the lot is given (TS001-1.0.4, 6.1.1.3; LoRaWAN 1.1, 6.1.1.3)."""
        return ("appkey", "nwkkey") if self.lorawan == "1.1" else ("appkey",)

    def index_of(self, dev_eui: Eui64) -> int | None:
        """Number of this DevEUI in the lot, from 0 on; None for one of another lot."""
        index = dev_eui.value - self.dev_eui.first.value
        return index if 0 <= index < self.dev_eui.quantity else None

    def label_text(self, index: int) -> str:
        """TR005 text of label ``index``, 0 .. quantity - 1. Raises IndexError."""
        if not 0 <= index < self.dev_eui.quantity:
            raise IndexError(f"lot {self.lot} has labels 0 to {self.dev_eui.quantity - 1}, not {index}")
        serial = f"{self.serial.prefix}{index + 1:0{self.serial.digits}}"
        return tr005_text(self.join_eui, Eui64(self.dev_eui.first.value + index), self.profile, serial)


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

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: Text | None = None
    """Compared with the note in the image."""
    base: Address | None = None
    """Address of a .bin file's first byte; other formats carry their own."""
    manifest: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """File of the product's folder that pins the image's SHA-256."""


class MemoryConfig(_Model):
    """The product's places in its MCU's memory; all but ``ram`` are whole pages of the flash."""

    flash: SpanConfig
    ram: SpanConfig
    page_size: int = Field(gt=0, le=1 << 20)
    """Bytes that the flash erases at once."""
    word_size: int = Field(gt=0, le=256)
    """Bytes that the flash programs at once."""
    code: SpanConfig
    identity: SpanConfig
    nvm: SpanConfig
    nvm_layout: Literal["lorafab-endnode"]

    @model_validator(mode="after")
    def _apart(self) -> Self:
        places = {name: getattr(self, name).span for name in ("code", "identity", "nvm")}
        flash = self.flash.span
        for name, span in places.items():
            if not flash.contains(span):
                raise ValueError(f"{name} {span} lies outside the flash {flash}")
            if (span.start - flash.start) % self.page_size or span.size % self.page_size:
                raise ValueError(f"{name} {span} is not whole pages of {self.page_size:#x} bytes")
        for one, other in (("code", "identity"), ("code", "nvm"), ("identity", "nvm")):
            if places[one].overlaps(places[other]):
                raise ValueError(f"{one} {places[one]} overlaps {other} {places[other]}")
        return self

    def memory_map(self) -> MemoryMap:
        """As the flash planner wants it."""
        return MemoryMap(
            flash=self.flash.span,
            page_size=self.page_size,
            word_size=self.word_size,
            code=self.code.span,
            identity=self.identity.span,
            nvm=self.nvm.span,
        )

    def reserved(self) -> dict[str, Span]:
        """Places that no image may touch, by the name that messages use."""
        return {"identity page": self.identity.span, "NVM region": self.nvm.span}


class IdentityConfig(_Model):
    """Where the identity lives on the board."""

    store: Literal["flash"]


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
    region: str | None = None
    """For lots that name none."""
    image: ImageConfig
    memory: MemoryConfig
    identity: IdentityConfig
    plan: tuple[StepConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_region(self.region)
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
