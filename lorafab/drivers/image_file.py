"""Reads firmware images: Intel HEX, ELF, or plain binary. The only door to intelhex and pyelftools."""

import hashlib
from collections.abc import Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Final, Literal

from lorafab.config.yaml_map import load_yaml
from lorafab.domain.image import Image, make_image
from lorafab.domain.memory_map import Segment
from lorafab.errors import ConfigError, ImageError

MAX_SIZE: Final = 16 << 20
"""Bytes of an image file; the largest ELF of a 256 KiB part with debug sections has about 5 MiB."""

_Kind = Literal["Intel HEX", "ELF", "binary"]
_SUFFIXES: Final[dict[str, _Kind]] = {
    ".hex": "Intel HEX",
    ".ihex": "Intel HEX",
    ".ihx": "Intel HEX",
    ".elf": "ELF",
    ".axf": "ELF",
    ".out": "ELF",
    ".bin": "binary",
}


def load_image(
    path: Path, *, named_by: str, base: int | None = None, manifest: Path | None = None, expected: str | None = None
) -> Image:
    """Read the image in ``path``.

    ``named_by`` is the ``file:line: key`` that named the file, for messages. ``base`` is the address of a binary's
    first byte. ``manifest`` is the file that pins the image's SHA-256, ``expected`` is a SHA-256 known otherwise (64
    hex digits). Raises ImageError for a file that is missing, damaged, not pinned or changed since it was pinned, for
    another processor, or that gives one address twice.
    """
    raw = _read(path, named_by)
    digest = hashlib.sha256(raw).hexdigest()
    if manifest is not None:
        _check_pin(path.name, digest, pinned_sha256(manifest, path.name), manifest.name)
    if expected is not None:
        _check_pin(path.name, digest, expected.lower(), named_by)
    kind = _kind(path, raw, named_by)
    if kind == "ELF":
        segments = _elf_segments(path.name, raw)
    elif kind == "Intel HEX":
        segments = _hex_segments(path.name, raw)
    else:
        segments = [_binary_segment(path.name, raw, base, named_by)]
    return make_image(path.name, digest, segments)


def pinned_sha256(manifest: Path, name: str) -> str:
    """Find the SHA-256 that a MANIFEST (``outputs: {name: {sha256: ...}}``) pins for ``name``. Raises ImageError."""
    try:
        outputs = load_yaml(manifest, manifest.name).data.get("outputs")
    except ConfigError as error:
        raise ImageError(f"the firmware's MANIFEST is refused: {error}") from error
    entry = outputs.get(name) if isinstance(outputs, Mapping) else None
    pinned = entry.get("sha256") if isinstance(entry, Mapping) else None
    if not isinstance(pinned, str):
        raise ImageError(
            f"{manifest.name} pins no sha256 for {name}, wanted one under outputs; build the firmware again, or remove "
            "`manifest` from product.yaml"
        )
    return pinned.lower()


def _read(path: Path, named_by: str) -> bytes:
    try:
        if path.stat().st_size > MAX_SIZE:
            raise ImageError(
                f"firmware image {path.name} has {path.stat().st_size} bytes, at most {MAX_SIZE} are read; "
                f"correct {named_by}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"firmware image {path.name} cannot be read ({error.strerror}), but {named_by} names it; "
            "build it or correct the name"
        ) from error


def _check_pin(name: str, found: str, pinned: str, where: str) -> None:
    if found != pinned:
        raise ImageError(
            f"firmware image {name} has sha256 {found}, but {where} pins {pinned}; "
            "restore the image, or build it again so that both change together"
        )


def _kind(path: Path, raw: bytes, named_by: str) -> _Kind:
    by_name = _SUFFIXES.get(path.suffix.lower())
    by_content: _Kind | None = None
    if raw.startswith(b"\x7fELF"):
        by_content = "ELF"
    elif raw.lstrip(b" \t\r\n").startswith(b":") and raw.isascii():
        by_content = "Intel HEX"
    if by_name is None and by_content is None:
        raise ImageError(
            f"firmware image {path.name} is neither Intel HEX nor ELF, and is not named .bin; correct {named_by}"
        )
    if by_name is not None and raw and by_content != (None if by_name == "binary" else by_name):
        raise ImageError(
            f"firmware image {path.name} is named as {by_name}, but holds {by_content or 'something else'}; "
            f"it is damaged or misnamed: restore it or correct {named_by}"
        )
    return by_content or by_name or "binary"


def _hex_segments(name: str, raw: bytes) -> list[Segment]:
    import intelhex

    _check_end_record(name, raw)
    image = intelhex.IntelHex()
    try:
        image.loadhex(StringIO(raw.decode("ascii")))
    except intelhex.AddressOverlapError as error:
        found: Any = error  # its fields are made at run time
        raise ImageError(
            f"firmware image {name} gives address {found.address:#010x} twice, the second time in line {found.line}, "
            "wanted each address once; build the image again"
        ) from error
    except (intelhex.HexReaderError, UnicodeDecodeError) as error:
        line = getattr(error, "line", "?")
        what = "a wrong checksum" if isinstance(error, intelhex.RecordChecksumError) else "no valid record"
        raise ImageError(
            f"firmware image {name} has {what} in line {line}, so the file is damaged; build or fetch it again"
        ) from error
    return [
        Segment(start, image.tobinstr(start=start, size=end - start)) for start, end in image.segments() if end > start
    ]


def _check_end_record(name: str, raw: bytes) -> None:
    # intelhex takes a file without its end record for whole, and a copy that broke off would be programmed.
    lines = raw.split()
    if lines and lines[-1].upper() != b":00000001FF":
        raise ImageError(
            f"firmware image {name} ends in line {len(raw.splitlines())} without its end record :00000001FF, "
            "so the file is cut off or has something behind it; build or fetch it again"
        )


def _elf_segments(name: str, raw: bytes) -> list[Segment]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(BytesIO(raw))
        machine = str(elf["e_machine"])
        loads = [
            (int(one["p_paddr"]), one.data(), int(one["p_filesz"]))
            for one in elf.iter_segments()
            if one["p_type"] == "PT_LOAD" and one["p_filesz"]
        ]
    # Whatever pyelftools stumbles over in a damaged file is the file's fault: its checks are not complete.
    except (ELFError, ValueError, KeyError, IndexError, OverflowError, UnicodeDecodeError, AttributeError) as error:
        raise ImageError(f"firmware image {name} is a damaged ELF file; build or fetch it again") from error
    if machine != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
        raise ImageError(
            f"firmware image {name} is an ELF file for {machine} ({elf.elfclass} bit), "
            "wanted EM_ARM (32 bit, little-endian); name the file that was built for the board"
        )
    for address, data, size in loads:
        if len(data) != size:
            raise ImageError(
                f"firmware image {name} is cut off: the segment at {address:#010x} has {len(data)} of {size} bytes; "
                "build or fetch it again"
            )
    return [Segment(address, data) for address, data, _ in loads]


def _binary_segment(name: str, raw: bytes, base: int | None, named_by: str) -> Segment:
    if base is None:
        raise ImageError(
            f"firmware image {name} is a plain binary without an address, wanted `base` beside {named_by}; add it"
        )
    return Segment(base, raw)
