"""What a product file may say: memory map, identity store, lock, plan. Strict, frozen, nothing unknown.

Sizes and addresses are bytes, times are seconds.
"""

import itertools
import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lorafab.config.models import FILE_PATTERN, Address, Limits, Model, Name, Number, Pin, Text, Timeout, check_region
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.measurement import Spec
from lorafab.domain.memory_map import Area, MemoryMap, Span
from lorafab.domain.plan import Plan, Step


class SpanConfig(Model):
    """``size`` bytes of memory from ``start`` on."""

    start: Address
    size: int = Field(gt=0, le=1 << 32)

    @property
    def span(self) -> Span:
        """As the domain knows it."""
        return Span(self.start, self.size)


class ImageConfig(Model):
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


class MemoryConfig(Model):
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


class FlashStore(Model):
    """Identity block v1 in ``memory.identity``, a page of the flash, written together with the image."""

    store: Literal["flash"]


class EepromStore(Model):
    """Identity block v1 in ``memory.identity``, words of the MCU's data EEPROM."""

    store: Literal["eeprom"]


class ExternalStore(Model):
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


class SerialStore(Model):
    """The running firmware takes its identity by commands on the serial line."""

    store: Literal["serial"]
    dialect: Literal["lorafab", "st-at-slave", "rui3", "lora-e5", "rn2483", "abz"]


class ElementStore(Model):
    """A secure element brings DevEUI, JoinEUI and key; the key never leaves it."""

    store: Literal["secure-element"]
    element: Literal["atecc608-tnglora"]
    manifest: Text
    """The maker's signed manifest: a JSON file, relative to the project's root; ``{data}/`` for virtual elements."""
    signer: Text
    """PEM file with the certificate of the manifest's signer, relative to the project's root."""


class BuildStore(Model):
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


class LockConfig(Model):
    """How the board is closed as the last step: readable by nobody's probe."""

    level: Literal["rdp1", "approtect"]
    """Read-out protection level 1 of an STM32, access port protection of an nRF52."""


class MeasurementConfig(Model):
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


class StepConfig(Model):
    """One step of the plan: a test below tests_production/ and its measurements."""

    test: str = Field(pattern=r"^test_[A-Za-z0-9_]+::test_[A-Za-z0-9_]+$")
    title: Text
    measurements: dict[str, MeasurementConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in self.measurements:
            if not _MEASUREMENT.fullmatch(name):
                raise ValueError(f"measurement {name[:48]!r} is named with letters, digits and _ only")
        return self


class ProductConfig(Model):
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
        check_region(self.region)
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
