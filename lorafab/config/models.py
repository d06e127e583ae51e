"""What station and lot files may say: strict, frozen, nothing unknown; products are in `product`.

Sizes and addresses are bytes, times are seconds. A key that is not listed here is a mistake in the file.
"""

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
from lorafab.domain.label import check_pattern, tr005_text

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


class Model(BaseModel):
    """A piece of a file: strict, frozen, nothing unknown."""

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


class ManualJig(Model):
    """The operator places the board; it is always powered."""

    driver: Literal["manual"]


class VirtualJig(Model):
    """Virtual boards, one a run."""

    driver: Literal["virtual"]


class PyocdProgrammer(Model):
    """pyOCD with exactly this probe (``pyocd list`` shows the ids)."""

    driver: Literal["pyocd"]
    probe: Text
    swd_khz: int = Field(default=4000, ge=10, le=50_000)


class SerialLink(Model):
    """The serial line to the DUT."""

    driver: Literal["serial"]
    port: Text
    baud: Baud = 115_200
    reply_timeout_s: Timeout = 2.0


class PromptScanner(Model):
    """The operator scans or types at the terminal."""

    driver: Literal["prompt"]
    timeout_s: Timeout = 300.0


class SerialScanner(Model):
    """A barcode scanner on a serial port."""

    driver: Literal["serial"]
    port: Text
    baud: Baud = 9600
    timeout_s: Timeout = 60.0


class CameraScanner(Model):
    """The jig's camera."""

    driver: Literal["camera"]


class ImageScanner(Model):
    """A picture file that another program writes."""

    driver: Literal["image"]
    file: Text


class FolderScanner(Model):
    """A folder into which another program puts pictures: the next new one is the label's."""

    driver: Literal["folder"]
    folder: Text
    """Relative to the project's root, unless absolute."""
    timeout_s: Timeout = 60.0


class TinydbStore(Model):
    """Ledger and records in TinyDB files: one computer."""

    driver: Literal["tinydb"]


class PostgresqlStore(Model):
    """Ledger in PostgreSQL: many computers. Records stay in TinyDB files of each."""

    driver: Literal["postgresql"]
    dsn_env: str = Field(default="LORAFAB_DSN", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    """Environment variable with the connection string, so that no password lies in a file."""


class VaultConfig(Model):
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


class StationConfig(Model):
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


class DevEuiRange(Model):
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


class FactoryDevEuis(Model):
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


class Serials(Model):
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


class LotConfig(Model):
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
        check_region(self.region)
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


def check_region(region: str | None) -> None:
    """Raise ValueError for a region that LoRaMac-node does not have."""
    if region is not None and region not in REGIONS:
        raise ValueError(f"region {region[:16]!r} is unknown; known regions: {', '.join(REGIONS)}")
