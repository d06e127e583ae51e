"""lorafab.drivers.image_file: an image is read whole and unchanged, or refused with the reason."""

import contextlib
import hashlib
import struct
import tempfile
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intelhex import IntelHex

from lorafab.drivers.image_file import MAX_SIZE, load_image, pinned_sha256
from lorafab.errors import ImageError

NAMED_BY = "firmware/x/product.yaml:6:9: image.file"
HEX = ":020000040800F2\n:1000000000000120010100080000000000000000C5\n:04010000BFBFBFBFFF\n:00000001FF\n"


def elf(machine: int = 40, bits: int = 1, parts: tuple[tuple[int, bytes], ...] = ((0x08000000, b"code"),)) -> bytes:
    """A 32-bit little-endian ELF with one PT_LOAD a part; machine 40 is ARM (ELF for the Arm architecture, 5.2)."""
    offset = 52 + 32 * len(parts)
    headers, body = b"", b""
    for address, data in parts:
        place = offset + len(body)
        headers += struct.pack("<8I", 1, place, 0x20000000, address, len(data), len(data) + 8, 5, 4)
        body += data
    ident = b"\x7fELF" + bytes((bits, 1, 1)) + bytes(9)
    head = struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, 0x08000001, 52, 0, 0, 52, 32, len(parts), 40, 0, 0)
    return ident + head + headers + body


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, base: int | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path, named_by=NAMED_BY, base=base)
    return str(caught.value)


def test_intel_hex_is_read(tmp_path: Path) -> None:
    """Addresses, gaps and the hash of the file as it lies there."""
    image = load_image(write(tmp_path, "fw.hex", HEX), named_by=NAMED_BY)
    assert [(one.address, len(one.data)) for one in image.segments] == [(0x08000000, 16), (0x08000100, 4)]
    assert image.sha256 == hashlib.sha256(HEX.encode()).hexdigest()
    assert image.name == "fw.hex"


def test_elf_is_read_by_its_load_addresses(tmp_path: Path) -> None:
    """Initialised data lies behind the code in flash, not where it runs; zero-filled memory is not programmed."""
    content = elf(parts=((0x08000004, b"data"), (0x08000000, b"code"), (0x08000100, b"")))
    image = load_image(write(tmp_path, "fw.elf", content), named_by=NAMED_BY)
    assert [(one.address, one.data) for one in image.segments] == [(0x08000000, b"codedata")]


def test_a_binary_is_read_at_its_base(tmp_path: Path) -> None:
    """Without an address it is refused: nobody guesses where it belongs."""
    path = write(tmp_path, "fw.bin", b"\x00\x01\xff")
    image = load_image(path, named_by=NAMED_BY, base=0x08000000)
    assert [(one.address, one.data) for one in image.segments] == [(0x08000000, b"\x00\x01\xff")]
    assert f"fw.bin is a plain binary without an address, wanted `base` beside {NAMED_BY}" in refusal(path)


def test_files_of_other_names_are_known_by_their_content(tmp_path: Path) -> None:
    """An ELF without a suffix is what compilers write."""
    assert load_image(write(tmp_path, "firmware", elf()), named_by=NAMED_BY).segments
    assert load_image(write(tmp_path, "fw.txt", HEX), named_by=NAMED_BY).segments


@given(st.dictionaries(st.integers(0, 2**16), st.binary(min_size=1, max_size=40), max_size=6))
def test_every_byte_of_a_hex_file_is_kept(parts: dict[int, bytes]) -> None:
    """Whatever another tool wrote, each byte is found at its address."""
    made = IntelHex()
    for address, data in parts.items():
        made.puts(0x08000000 + address, data)
    text = StringIO()
    made.write_hex_file(text)
    with tempfile.TemporaryDirectory() as folder:
        image = load_image(write(Path(folder), "fw.hex", text.getvalue()), named_by=NAMED_BY)
    assert {one.address + n: byte for one in image.segments for n, byte in enumerate(one.data)} == made.todict()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.hex", HEX.replace("BFFF", "BFFE"), "a.hex has a wrong checksum in line 3, so the file is damaged"),
        ("a.hex", HEX.replace(":04010000", ":0401000"), "a.hex has no valid record in line 3"),
        ("a.hex", HEX.replace(":04010000", "04010000"), "a.hex has no valid record in line 3"),
        ("a.hex", HEX.replace(":00000001FF\n", ""), "ends in line 3 without its end record :00000001FF"),
        ("a.hex", HEX[:60], "without its end record"),
        ("a.hex", HEX + ":04010000BFBFBFBFFF\n", "without its end record :00000001FF"),
        (
            "a.hex",
            HEX.replace(":00000001FF", ":01000F0000F0\n:00000001FF"),
            "gives address 0x0800000f twice, the second time in line 4",
        ),
        ("a.hex", "not hex", "a.hex is named as Intel HEX, but holds something else"),
        ("a.hex", elf(), "a.hex is named as Intel HEX, but holds ELF"),
        ("a.bin", HEX, "a.bin is named as binary, but holds Intel HEX"),
        ("a.elf", b"\x00" * 100, "a.elf is named as ELF, but holds something else"),
        ("a", b"\x00" * 100, f"a is neither Intel HEX nor ELF, and is not named .bin; correct {NAMED_BY}"),
        ("a.elf", elf(machine=243), "a.elf is an ELF file for EM_RISCV (32 bit), wanted EM_ARM"),
        ("a.elf", elf(machine=62, bits=1), "ELF file for EM_X86_64"),
        ("a.elf", elf()[:-1], "a.elf is cut off: the segment at 0x08000000 has 3 of 4 bytes"),
        ("a.elf", elf()[:60], "a.elf is a damaged ELF file"),
        ("a.elf", b"\x7fELF", "a.elf is a damaged ELF file"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    """The sentence names the file, the line where there are lines, and what is wrong."""
    assert sentence in refusal(write(tmp_path, name, content))


@given(st.dictionaries(st.integers(4, 87), st.integers(0, 255), max_size=4), st.integers(0, 96))
def test_no_damage_of_an_elf_ends_in_a_traceback(changes: dict[int, int], size: int) -> None:
    """Whatever its headers claim and wherever it breaks off, it is an image or an ImageError."""
    damaged = bytearray(elf(parts=((0x08000000, b"codecode"),)))
    for place, value in changes.items():
        damaged[place] = value
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ImageError):
        load_image(write(Path(folder), "a.elf", bytes(damaged[:size] if size < 92 else damaged)), named_by=NAMED_BY)


@given(st.text(":0123456789ABCDEF\n", max_size=80))
def test_no_damage_of_a_hex_file_ends_in_a_traceback(lines: str) -> None:
    """Whatever stands in the lines, it is an image or an ImageError."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ImageError):
        load_image(write(Path(folder), "a.hex", HEX[:17] + lines + "\n:00000001FF\n"), named_by=NAMED_BY)


def test_an_empty_file_is_an_empty_image(tmp_path: Path) -> None:
    """The check against the product refuses it with its own sentence."""
    assert load_image(write(tmp_path, "a.hex", ""), named_by=NAMED_BY).segments == ()


def test_a_missing_file_names_who_wanted_it(tmp_path: Path) -> None:
    """File and key that name it are in the sentence; so are folders in its place, and files much too large."""
    said = refusal(tmp_path / "gone.hex")
    assert said.startswith("firmware image gone.hex cannot be read (No such file or directory)")
    assert NAMED_BY in said
    (tmp_path / "folder.hex").mkdir()
    assert "cannot be read (Is a directory)" in refusal(tmp_path / "folder.hex")
    with (tmp_path / "big.bin").open("wb") as big:
        big.truncate(MAX_SIZE + 1)
    assert f"big.bin has {MAX_SIZE + 1} bytes, at most {MAX_SIZE} are read" in refusal(tmp_path / "big.bin")


def test_a_pinned_image_must_not_change(tmp_path: Path) -> None:
    """MANIFEST and product may pin the hash; the refusal names both hashes."""
    path = write(tmp_path, "fw.hex", HEX)
    found = hashlib.sha256(HEX.encode()).hexdigest()
    manifest = write(tmp_path, "MANIFEST", f"outputs:\n  fw.hex: {{sha256: {found}}}\n")
    assert pinned_sha256(manifest, "fw.hex") == found
    assert load_image(path, named_by=NAMED_BY, manifest=manifest, expected=found.upper()).sha256 == found
    other = "ab" * 32
    write(tmp_path, "MANIFEST", f"outputs:\n  fw.hex: {{sha256: {other}}}\n")
    with pytest.raises(ImageError, match=rf"fw\.hex has sha256 {found}, but MANIFEST pins {other}"):
        load_image(path, named_by=NAMED_BY, manifest=manifest)
    with pytest.raises(ImageError, match=f"has sha256 {found}, but {NAMED_BY} pins {other}"):
        load_image(path, named_by=NAMED_BY, expected=other)


@pytest.mark.parametrize(
    "text", ["outputs: {}\n", "outputs: {fw.hex: {}}\n", "outputs: {fw.hex: {sha256: 12}}\n", "a: b\n"]
)
def test_a_manifest_that_does_not_pin_is_refused(tmp_path: Path, text: str) -> None:
    """A product that names a MANIFEST wants its image pinned."""
    with pytest.raises(ImageError, match=r"MANIFEST pins no sha256 for fw\.hex"):
        load_image(write(tmp_path, "fw.hex", HEX), named_by=NAMED_BY, manifest=write(tmp_path, "MANIFEST", text))


def test_a_manifest_that_is_missing_is_refused(tmp_path: Path) -> None:
    """As an image error: the firmware is not whole."""
    with pytest.raises(ImageError, match="the firmware's MANIFEST is refused: MANIFEST cannot be read"):
        load_image(write(tmp_path, "fw.hex", HEX), named_by=NAMED_BY, manifest=tmp_path / "MANIFEST")
