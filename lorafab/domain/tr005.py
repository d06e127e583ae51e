"""TR005 labels and their drafts: the forms that the LoRa Alliance gave to the code on a device.

``tr005``
    ``LW:D0:<JoinEUI>:<DevEUI>:<ProfileID>[:O<OwnerToken>][:S<SerNum>][:P<Proprietary>][:C<CheckSum>]``, the EUIs with
    16 and the ProfileID with 8 hex digits (TR005 v1.0, "LoRaWAN Device Identification QR Codes for Automated
    Onboarding"). O, S and P may come in any order, each at most once, as other readers of such labels take them; C
    comes last, because it covers all that is before it: CRC-16/MODBUS of the text before ``:C``, in hexadecimal. TR005
    does not say whether the CRC is padded with zeros: 1 to 4 digits are read, 4 are written.
``tr005draft2``
    ``URN:LW:DP:<JoinEUI>:<DevEUI>:<ProfileID>[:%V<token>%S<SerNum>%P<Proprietary>]``; where a program escaped the
    signs, ``%25`` stands for each ``%``.
``tr005draft3``
    ``URN:DEV:LW:<JoinEUI>_<DevEUI>_<ProfileID>[_V<token>][_S<SerNum>][_P<Proprietary>]``.

The drafts are on stickers from before 2020. They have no checksum, and their token is what TR005 calls owner token.

All are upper-case. Lower-case hex digits in EUIs and ProfileID exist on real stickers and have one meaning only, so
they are read and written back in upper case (the checksum is computed over the text as printed). A lower-case prefix
or extension field is refused: it is a scanner whose Caps Lock is on, and an owner token or serial would come out wrong.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from lorafab.domain.identity import Eui64
from lorafab.domain.label_refusal import hex_field, looks_like_key, refused
from lorafab.domain.label_value import HIDDEN, Label, own_dev_eui


@dataclass(frozen=True)
class _Form:
    """How one of the forms is written."""

    format: Literal["tr005", "tr005draft2", "tr005draft3"]
    title: str
    prefix: str
    between: str
    """Stands between EUIs, ProfileID and what follows them."""
    lead: str
    """Written once before the first extension field."""
    mark: str
    """Begins each extension field, before its tag."""
    tags: str
    """First characters of extension fields, the owner token's first."""
    chars: str
    """What an extension field may hold, as people are told."""
    value: re.Pattern[str]


# The QR alphanumeric set (ISO/IEC 18004, 7.4.4) without what separates the fields; draft 3 has letters and digits only.
_TR005 = _Form(
    format="tr005",
    title="TR005 label",
    prefix="LW:D0:",
    between=":",
    lead="",
    mark=":",
    tags="OSPC",
    chars="0-9 A-Z blank $ % * + - . /",
    value=re.compile(r"[0-9A-Z $%*+\-./]+"),
)
_DRAFT2 = _Form(
    format="tr005draft2",
    title="TR005 draft 2 label",
    prefix="URN:LW:DP:",
    between=":",
    lead=":",
    mark="%",
    tags="VSP",
    chars="0-9 A-Z $ * + - . /",
    value=re.compile(r"[0-9A-Z$*+\-./]+"),
)
_DRAFT3 = _Form(
    format="tr005draft3",
    title="TR005 draft 3 label",
    prefix="URN:DEV:LW:",
    between="_",
    lead="",
    mark="_",
    tags="VSP",
    chars="0-9 A-Z",
    value=re.compile(r"[0-9A-Z]+"),
)
_FORMS: Final = (_TR005, _DRAFT2, _DRAFT3)
PREFIXES: Final = tuple(form.prefix for form in _FORMS)
"""How a text begins that is for :func:`parse_tr005`."""

_NAMES: Final = {"O": "owner token", "V": "owner token", "S": "serial", "P": "proprietary", "C": "checksum"}


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
    if serial and not _TR005.value.fullmatch(serial):
        raise ValueError(f"a serial on a TR005 label has only {_TR005.chars}")
    body = f"LW:D0:{join_eui}:{dev_eui}:{profile}" + (f":S{serial}" if serial else "")
    return f"{body}:C{checksum(body)}"


def parse_tr005(text: str) -> Label:
    """Read printable ASCII that begins with one of the PREFIXES. Raises LabelRefused."""
    form = next(form for form in _FORMS if text.startswith(form.prefix))
    names = ("JoinEUI", "DevEUI", "ProfileID")
    fields = text[len(form.prefix) :].split(form.between, len(names))
    if len(fields) < len(names):
        raise refused(
            f"the {form.title} ends before its {names[len(fields)]}",
            f"wanted {form.prefix}{form.between.join(names)}",
        )
    join, dev, profile = (
        hex_field(f"the {name} of the {form.title}", value, size)
        for name, value, size in zip(names, fields[:3], (16, 16, 8), strict=True)
    )
    extensions = _extensions(form, fields[3]) if len(fields) > 3 else {}
    if looks_like_key(extensions.get("S", "")):
        # Kept and shown as it is, so it must not be one.
        raise refused(f"the serial field of the {form.title} looks like a key", "wanted the board's serial")
    shown = {
        tag: HIDDEN if tag == form.tags[0] or looks_like_key(value) else value for tag, value in extensions.items()
    }
    _check_sum(text, extensions, told=shown == extensions)
    head = form.prefix + form.between.join((join, dev, profile))
    body = head + _joined(form, extensions)
    code = checksum(body) if "C" in extensions else None
    return Label(
        format=form.format,
        dev_eui=own_dev_eui(dev),
        join_eui=Eui64.parse(join),
        vendor_id=profile[:4],
        vendor_profile_id=profile[4:],
        owner_token=extensions.get(form.tags[0]),
        serial=extensions.get("S"),
        proprietary=extensions.get("P"),
        checksum=code,
        text=body + (f":C{code}" if code else ""),
        text_redacted=head + _joined(form, shown) + (f":C{code if shown == extensions else HIDDEN}" if code else ""),
    )


def _joined(form: _Form, extensions: dict[str, str]) -> str:
    fields = "".join(f"{form.mark}{tag}{value}" for tag, value in extensions.items() if tag != "C")
    return fields and form.lead + fields


def _extensions(form: _Form, text: str) -> dict[str, str]:
    """Split into tags and values; the order is kept."""
    fields = text.split(form.mark)
    if form is _DRAFT2:  # a mark also begins its first field
        fields = text.replace("%25", "%").split(form.mark)
        if fields.pop(0) or not fields:
            raise refused(f"the extension of the {form.title} does not begin with {form.mark}", "wanted %V, %S or %P")
    found: dict[str, str] = {}
    for place, field in enumerate(fields, start=1):
        tag, value = field[:1], field[1:]
        if not tag or tag not in form.tags:
            # The tag may be the first character of something secret, but one character tells nothing.
            what = f"begins with {tag!r}" if tag else "is empty"
            wanted = f"{', '.join(form.tags[:-1])} or {form.tags[-1]}"
            raise refused(
                f"extension field {place} of the {form.title} {what}", f"wanted one that begins with {wanted}"
            )
        name = _NAMES[tag]
        if tag in found:
            raise refused(f"the {form.title} has two {name} fields ({tag})", "wanted at most one")
        if "C" in found:
            raise refused(f"the {name} follows the checksum of the {form.title}", "wanted the checksum last")
        if not value:
            raise refused(f"the {name} field ({tag}) of the {form.title} is empty", "wanted a value, or no field")
        if tag != "C" and not form.value.fullmatch(value):
            wrong = next(char for char in value if not form.value.fullmatch(char))
            raise refused(
                f"the {name} field of the {form.title} holds {wrong!r}",
                f"wanted only {form.chars} (is Caps Lock on at the scanner?)",
            )
        found[tag] = value
    return found


def _check_sum(text: str, extensions: dict[str, str], *, told: bool) -> None:
    """Hold the printed checksum against the text's own; ``told`` when it may be shown, as it covers no secret."""
    printed = extensions.get("C")
    if printed is None:
        return
    if not re.fullmatch(r"[0-9A-Fa-f]{1,4}", printed):
        raise refused("the checksum of the TR005 label is not 1 to 4 hex digits", "wanted CRC-16/MODBUS in hex")
    right = checksum(text[: text.rindex(":")])
    if int(printed, 16) != int(right, 16):
        raise refused(
            f"the checksum of the TR005 label is {printed.upper() if told else 'wrong'}, so the label is misread, "
            "damaged or misprinted",
            f"wanted {right} for this text" if told else "wanted CRC-16/MODBUS of its text",
        )
