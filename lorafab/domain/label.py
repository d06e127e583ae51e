"""Labels: what the code on a board's sticker says, and why it is refused when it does not say it well.

Two forms are taken, both after blanks, tabs, CR and LF at the ends were stripped:

``tr005``
    ``LW:D0:<JoinEUI>:<DevEUI>:<ProfileID>[:O<OwnerToken>][:S<SerNum>][:P<Proprietary>][:C<CheckSum>]``, the EUIs with
    16 and the ProfileID with 8 hex digits (LoRa Alliance TR005 v1.0, "LoRaWAN Device Identification QR Codes for
    Automated Onboarding"). O, S and P may come in any order, each at most once, as other readers of such labels take
    them; C comes last, because it covers all that is before it: CRC-16/MODBUS of the text before ``:C``, in
    hexadecimal. TR005 does not say whether the CRC is padded with zeros: 1 to 4 digits are read, 4 are written.
``dev_eui``
    A bare DevEUI, 16 hex digits, the bytes optionally separated by ``:`` or ``-`` throughout.

TR005 is upper-case. Lower-case hex digits in EUIs and ProfileID exist on real stickers and have one meaning only, so
they are read and written back in upper case (the checksum is computed over the text as printed). A lower-case prefix
or extension field is refused: it is a scanner whose Caps Lock is on, and an owner token or serial would come out wrong.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from lorafab.domain.identity import Eui64
from lorafab.errors import LabelRefused

MAX_LENGTH: Final = 512
"""Characters; the longest TR005 text that fits QR version 10-M, much larger than any sticker, is 311."""

QUOTE_LENGTH: Final = 24
"""Characters of a refused label that its refusal may show."""

WANTED: Final = "wanted a TR005 label (LW:D0:...) or a DevEUI of 16 hex digits"
NEXT: Final = "scan the board's own label again, or set the board aside for relabelling"

_BLANKS = " \t\r\n"
_HEX = "0123456789ABCDEFabcdef"
_FIELD = re.compile(r"[0-9A-Z $%*+\-./]+")  # QR alphanumeric set (ISO/IEC 18004, 7.4.4) without the separator ":"
_DEV_EUI = re.compile(r"[0-9A-Fa-f]{2}([:-]?)(?:[0-9A-Fa-f]{2}\1){6}[0-9A-Fa-f]{2}")
_SEPARATED = re.compile(r"[ :;,._/\-]")
_LONG_HEX = re.compile(r"[0-9A-Fa-f]{24}")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{22}")  # 16 bytes are 22 digits of base64 and two signs of padding
_KEY_HEX = re.compile(r"[0-9A-Fa-f]{32}")
_TAGS = {"O": "owner token", "S": "serial", "P": "proprietary", "C": "checksum"}


@dataclass(frozen=True)
class Label:
    """What a label says. Absent fields are None; ``text`` and ``owner_token`` are a claim secret: show the redacted."""

    format: Literal["tr005", "dev_eui"]
    dev_eui: Eui64
    text: str
    """Canonical: EUIs, ProfileID and checksum in upper case, checksum of 4 digits, fields in the printed order."""
    text_redacted: str
    """``text`` with ``***`` for the owner token and for the checksum that covers it (16 bits of it would show),
    and for a serial or proprietary field that looks like a key (32 hex digits)."""
    join_eui: Eui64 | None = None
    vendor_id: str | None = None
    """4 hex digits, assigned by the LoRa Alliance."""
    vendor_profile_id: str | None = None
    """4 hex digits, assigned by the vendor."""
    owner_token: str | None = None
    serial: str | None = None
    proprietary: str | None = None
    checksum: str | None = None
    """The checksum of ``text``, 4 hex digits, when the label has one."""

    @property
    def checksum_ok(self) -> bool | None:
        """True for a checksum that fitted (a wrong one is a refusal), None for a label without one."""
        return None if self.checksum is None else True

    def to_json(self) -> dict[str, str | bool | None]:
        """Give what ``lorafab label parse`` prints: EUIs as 16 upper-case hex digits, absent values None."""
        return {
            "format": self.format,
            "join_eui": None if self.join_eui is None else str(self.join_eui),
            "dev_eui": str(self.dev_eui),
            "vendor_id": self.vendor_id,
            "vendor_profile_id": self.vendor_profile_id,
            "owner_token": self.owner_token,
            "serial": self.serial,
            "proprietary": self.proprietary,
            "checksum": self.checksum,
            "checksum_ok": self.checksum_ok,
            "text_redacted": self.text_redacted,
        }

    def __repr__(self) -> str:
        return f"Label({self.text_redacted!r})"


def checksum(text: str) -> str:
    """CRC-16/MODBUS of ASCII ``text`` (all of a TR005 label before ``:C``) as 4 upper-case hex digits.

    Polynomial 0x8005 reflected (0xA001), start value 0xFFFF, no final XOR (Modbus over Serial Line V1.02, 6.2.2).
    """
    crc = 0xFFFF
    for byte in text.encode("ascii"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return f"{crc:04X}"


def tr005_text(join_eui: Eui64, dev_eui: Eui64, profile: str, serial: str = "") -> str:
    """Write a TR005 label with checksum and, unless empty, a serial; ``profile`` is 8 upper-case hex digits.

    Raises ValueError for a profile or serial that TR005 cannot carry.
    """
    if not re.fullmatch(r"[0-9A-F]{8}", profile):
        raise ValueError("a ProfileID is written as 8 upper-case hex digits")
    if serial and not _FIELD.fullmatch(serial):
        raise ValueError("a serial on a TR005 label has only 0-9 A-Z blank $ % * + - . /")
    body = f"LW:D0:{join_eui}:{dev_eui}:{profile}" + (f":S{serial}" if serial else "")
    return f"{body}:C{checksum(body)}"


def parse_label(text: str) -> Label:
    """Read the text of a label. Raises LabelRefused, which never repeats what may be a key or an owner token."""
    if len(text) > MAX_LENGTH:
        raise _refused(f"the label has {len(text)} characters, more than {MAX_LENGTH}")
    text = text.strip(_BLANKS)
    if not text:
        raise _refused("the label is empty")
    _refuse_foreign_characters(text)
    if text.startswith("LW:D0:"):
        return _parse_tr005(text)
    if match := _DEV_EUI.fullmatch(text):
        canonical = text.replace(match[1], "").upper() if match[1] else text.upper()
        return Label("dev_eui", _dev_eui(canonical), canonical, canonical)
    raise _refused(_appearance(text))


def _refused(found: str, wanted: str = WANTED) -> LabelRefused:
    return LabelRefused(f"{found}; {wanted}; {NEXT}")


def _refuse_foreign_characters(text: str) -> None:
    """Stop at what no label has and no eye sees: controls, look-alikes of other scripts, invisible signs."""
    for place, char in enumerate(text, start=1):
        if not " " <= char <= "~":
            name = unicodedata.name(char, "a control character" if ord(char) < 0xA0 else "no ASCII character")
            raise _refused(f"character {place} of the label is U+{ord(char):04X} ({name}), which no label has")


# --- TR005 ---


def _parse_tr005(text: str) -> Label:
    fields = text.split(":")
    if len(fields) < 5:
        raise _refused(
            f"the TR005 label ends after {len(fields)} of its 5 fields",
            "wanted LW:D0:JoinEUI:DevEUI:ProfileID",
        )
    join, dev, profile = (
        _hex_field(name, value, size)
        for name, value, size in zip(("JoinEUI", "DevEUI", "ProfileID"), fields[2:5], (16, 16, 8), strict=True)
    )
    extensions = _extensions(fields[5:])
    _check_sum(text, extensions)
    if looks_like_key(extensions.get("S", "")):
        # Kept and shown as it is, so it must not be one. A proprietary field is never shown.
        raise _refused("the serial field of the TR005 label looks like a key (32 hex digits)")
    shown = {tag: "***" if tag == "O" or looks_like_key(value) else value for tag, value in extensions.items()}
    head = f"LW:D0:{join}:{dev}:{profile}"
    body = head + _joined(extensions)
    code = checksum(body) if "C" in extensions else None
    return Label(
        format="tr005",
        dev_eui=_dev_eui(dev),
        join_eui=Eui64.parse(join),
        vendor_id=profile[:4],
        vendor_profile_id=profile[4:],
        owner_token=extensions.get("O"),
        serial=extensions.get("S"),
        proprietary=extensions.get("P"),
        checksum=code,
        text=body + (f":C{code}" if code else ""),
        text_redacted=head + _joined(shown) + (f":C{code if shown == extensions else '***'}" if code else ""),
    )


def _joined(extensions: dict[str, str]) -> str:
    return "".join(f":{tag}{value}" for tag, value in extensions.items() if tag != "C")


def _hex_field(name: str, value: str, size: int) -> str:
    wrong = next((char for char in value if char not in _HEX), None)
    if wrong is not None:
        hint = {"O": "letter O where the digit 0 belongs", "I": "letter I where the digit 1 belongs"}.get(
            wrong.upper(), f"{wrong!r} among the hex digits"
        )
        raise _refused(f"the {name} of the TR005 label has the {hint}", f"wanted {size} hex digits")
    if len(value) != size:
        raise _refused(f"the {name} of the TR005 label has {len(value)} characters", f"wanted {size} hex digits")
    return value.upper()


def _extensions(fields: list[str]) -> dict[str, str]:
    """Split tag and value; the order is kept."""
    found: dict[str, str] = {}
    for place, field in enumerate(fields, start=6):
        tag, value = field[:1], field[1:]
        if tag not in _TAGS:
            # The tag may be the first character of something secret, but one character tells nothing.
            what = f"begins with {tag!r}" if tag else "is empty"
            raise _refused(f"field {place} of the TR005 label {what}", "wanted a field that begins with O, S, P or C")
        if tag in found:
            raise _refused(f"the TR005 label has two {_TAGS[tag]} fields ({tag})", "wanted at most one")
        if "C" in found:
            raise _refused(f"the {_TAGS[tag]} follows the checksum of the TR005 label", "wanted the checksum last")
        if not value:
            raise _refused(f"the {_TAGS[tag]} field ({tag}) of the TR005 label is empty", "wanted a value, or no field")
        if tag != "C" and not _FIELD.fullmatch(value):
            wrong = next(char for char in value if not _FIELD.fullmatch(char))
            raise _refused(
                f"the {_TAGS[tag]} field of the TR005 label holds {wrong!r}",
                "wanted only 0-9 A-Z blank $ % * + - . / (is Caps Lock on at the scanner?)",
            )
        found[tag] = value
    return found


def _check_sum(text: str, extensions: dict[str, str]) -> None:
    printed = extensions.get("C")
    if printed is None:
        return
    if not re.fullmatch(r"[0-9A-Fa-f]{1,4}", printed):
        raise _refused("the checksum of the TR005 label is not 1 to 4 hex digits", "wanted CRC-16/MODBUS in hex")
    wanted = checksum(text[: text.rindex(":")])
    if int(printed, 16) != int(wanted, 16):
        raise _refused(
            f"the checksum of the TR005 label is {printed.upper()}, so the label is misread, damaged or misprinted",
            f"wanted {wanted} for this text",
        )


def _dev_eui(text: str) -> Eui64:
    eui = Eui64.parse(text)
    if eui.is_reserved():
        raise _refused(f"the label's DevEUI is {eui}, which names no device", "wanted one of the board's own")
    return eui


# --- what else it may be ---


def looks_like_key(text: str) -> bool:
    """Whether ``text`` holds 32 hex digits in a row, separators between them not counted."""
    return _KEY_HEX.search(_SEPARATED.sub("", text)) is not None


_Guess = Callable[[str], object]
_MAC = "the label is a MAC address"
_GUESSES: Final[tuple[tuple[_Guess, str], ...]] = (
    (re.compile(r"[0-9A-Fa-f]{32}").fullmatch, "the label is 32 hex digits, a key or two EUIs without names"),
    (re.compile(r"[0-9A-Fa-f]{2}([:\-.]?)(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}").fullmatch, _MAC),
    (re.compile(r"(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}").fullmatch, _MAC),
    (re.compile(r"https?://ttig\.|.*\bg(?:ate)?w(?:ay)?\b", re.I).match, "the label is a gateway's, not an end node's"),
    (re.compile(r"[a-z][a-z0-9+.\-]*://|www\.", re.I).match, "the label is a web address"),
    (re.compile(r"URN:(?:LW|DEV:LW|LWDP):").match, "the label is in a draft form from before TR005 1.0"),
    (re.compile(r"lw:d0:", re.I).match, "the TR005 label came in lower case (Caps Lock at the scanner?)"),
    (re.compile(r"LW:D[0-9A-F]?:").match, "the label is of a TR005 version other than D0"),
    (re.compile(r"(?=.*[OoIl])[0-9A-FOoIla-f]{16}").fullmatch, "the label has a letter O, I or l in place of a digit"),
    (re.compile(r"[\[{]").match, "the label is JSON"),
    (re.compile(r"WIFI:", re.I).match, "the label is a Wi-Fi password"),
    (re.compile(r"dev ?_?eui\b", re.I).match, "the label has words around its DevEUI"),
    (re.compile(r"[0-9A-Fa-f]{16}[:;,_][0-9A-Fa-f]{16}").match, "the label has two EUIs without the form of TR005"),
    (re.compile(r"[0-9A-Fa-f]+").fullmatch, "the label has {length} hex digits, a DevEUI has 16"),
)


def _appearance(text: str) -> str:
    """Say what a refused label looks like, with its beginning where that cannot be part of a key."""
    for looks_like, sentence in _GUESSES:
        if looks_like(text):
            return sentence.format(length=len(text)) + _quote(text)
    return f"the label has {len(text)} characters in no form that is known" + _quote(text)


def _quote(text: str) -> str:
    if text.upper().startswith("WIFI:") or _BASE64_RUN.search(text) or _LONG_HEX.search(_SEPARATED.sub("", text)):
        return " (not shown, it may hold a secret)"
    return f" ({text[:QUOTE_LENGTH]!r}{' ...' if len(text) > QUOTE_LENGTH else ''})"
