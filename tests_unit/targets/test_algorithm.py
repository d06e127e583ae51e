"""lorafab/targets/algorithm.py and the programs for microcontrollers in the package."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from lorafab import targets
from lorafab.errors import StationError
from lorafab.targets import MCUS
from lorafab.targets.algorithm import load_algorithm, load_program, load_worker

FOLDER = Path(targets.__file__).parent
ELF, ELF_L0 = FOLDER / "stm32wle5.elf", FOLDER / "stm32l072.elf"


@dataclass(frozen=True)
class Built:
    """One of our algorithms."""

    name: str
    target: str
    word_size: int
    page_size: int
    """What its buffers hold."""
    analyzer: bool
    ram_end: int

    @property
    def elf(self) -> Path:
        """The file."""
        return FOLDER / f"{self.name}.elf"


ALGORITHMS = [
    Built("stm32wle5", "stm32wle5jc", 8, 2048, True, 0x20008000),
    Built("stm32l476", "stm32l475xg", 8, 2048, True, 0x20018000),
    Built("stm32l072", "stm32l072xz", 4, 4096, True, 0x20005000),
    Built("nrf52840", "nrf52840", 4, 4096, False, 0x20040000),
]
every_algorithm = pytest.mark.parametrize("built", ALGORITHMS, ids=lambda built: built.name)
every_binary = pytest.mark.parametrize("elf", sorted(FOLDER.glob("*.elf")), ids=lambda elf: elf.stem)


@every_algorithm
def test_every_address_lies_where_pyocd_needs_it(built: Built) -> None:
    """Entry points are Thumb code inside the image; stack, CRC code and buffers lie apart from it in the first RAM."""
    algorithm = load_algorithm(built.elf, built.word_size)
    start = algorithm["load_address"]
    end = start + 4 * len(algorithm["instructions"])
    for name in ("pc_init", "pc_unInit", "pc_erase_sector", "pc_eraseAll", "pc_program_page"):
        assert algorithm[name] & 1
        assert start < algorithm[name] < end
    first, second = algorithm["page_buffers"]
    places = [start, end, algorithm["end_stack"], algorithm["begin_stack"]]
    assert algorithm["analyzer_supported"] == built.analyzer
    if built.analyzer:
        places += [algorithm["analyzer_address"], algorithm["analyzer_address"] + 0x600]
    places += [first, first + built.page_size, second, second + built.page_size, built.ram_end]
    assert places == sorted(places)
    assert algorithm["static_base"] in range(start, end)
    assert algorithm["min_program_length"] == built.word_size


@every_algorithm
def test_the_same_file_is_a_program_for_checksums_and_sessions(built: Built) -> None:
    """Its stack grows down to the vectors behind the code; its mailbox ends with the page buffers."""
    program, symbols = load_worker(built.target), load_worker(built.target).symbols
    assert program.name == built.name
    places = [program.load_address, program.load_address + len(program.code), symbols["__vectors"]]
    places += [symbols["__vectors"] + 64, symbols["__stack_limit"], program.stack_top, program.mailbox]
    places += [symbols["__page_buffer_0"], symbols["__page_buffer_1"], program.mailbox + program.mailbox_size]
    assert places == sorted(places)
    assert symbols["__vectors"] % 128 == 0  # as VTOR wants it: Armv7-M ARM B3.2.5
    assert symbols["__page_buffer_1"] - symbols["__page_buffer_0"] == built.page_size
    assert {symbols["Checksums"] & 1, symbols["Session"] & 1} == {1}


def test_every_known_microcontroller_has_a_worker() -> None:
    """Nobody learns at the first board of a lot that its program is missing."""
    assert {load_worker(target).name for target in MCUS} == {built.name for built in ALGORITHMS}


def test_a_memory_may_have_an_erase_of_its_own() -> None:
    """Flash and data EEPROM of an STM32L0 share a program, not what erases all of it."""
    flash, eeprom = load_algorithm(ELF_L0, 4), load_algorithm(ELF_L0, 4, erase_all="EraseEeprom")
    assert flash["pc_eraseAll"] != eeprom["pc_eraseAll"]
    assert flash["pc_program_page"] == eeprom["pc_program_page"]
    with pytest.raises(StationError, match="EraseMoon missing"):
        load_algorithm(ELF_L0, 4, erase_all="EraseMoon")


@every_algorithm
def test_the_image_begins_with_a_breakpoint(built: Built) -> None:
    """Functions return to the load address, where the core must stop."""
    assert load_algorithm(built.elf, built.word_size)["instructions"][0] & 0xFFFF == 0xBE00


@pytest.mark.parametrize("content", [b"", b"not an ELF file", ELF.read_bytes()[:40]])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """A broken algorithm stops the station with a sentence, before the probe is touched."""
    path = tmp_path / "broken.elf"
    path.write_bytes(content)
    with pytest.raises(StationError, match=r"broken\.elf"):
        load_algorithm(path, 8)


def test_a_file_without_the_symbols_is_refused(tmp_path: Path) -> None:
    """An ELF file of something else is not taken for an algorithm; the sentence names what it lacks."""
    path = tmp_path / "other.elf"
    path.write_bytes(ELF.read_bytes().replace(b"EraseSector", b"EraseSectoX"))
    with pytest.raises(StationError, match="EraseSector"):
        load_algorithm(path, 8)


@pytest.mark.parametrize(
    ("symbol", "spoilt", "says"),
    [
        (b"__mailbox_end", b"__mailbox_enX", "__mailbox_end missing"),
        (b"Checksums", b"ChecksumX", "Checksums missing"),
        (bytes.fromhex("00befee7"), bytes.fromhex("00bffee7"), "load address and code missing or wrong"),
    ],
)
def test_a_file_that_is_no_program_is_refused(tmp_path: Path, symbol: bytes, spoilt: bytes, says: str) -> None:
    """It must have its mailbox, the functions that are wanted, and the breakpoint to which they return."""
    path = tmp_path / "other.elf"
    path.write_bytes(ELF.read_bytes().replace(symbol, spoilt))
    with pytest.raises(StationError, match=f"other.elf is no RAM program \\({says}"):
        load_program(path, "Checksums")


@every_binary
def test_the_manifest_tells_the_hash_of_the_file(elf: Path) -> None:
    """The committed binary is the one that was built."""
    manifest = (FOLDER / f"MANIFEST.{elf.stem}").read_text()
    found = re.search(rf"{re.escape(elf.name)}: \{{sha256: (\w{{64}})\}}", manifest)
    assert found is not None
    assert found[1] == hashlib.sha256(elf.read_bytes()).hexdigest()


@every_binary
def test_the_binary_tells_nothing_about_the_machine_that_built_it(elf: Path) -> None:
    """No debug section and no path is inside, so that every machine builds the same bytes."""
    with elf.open("rb") as stream:
        content = ELFFile(stream)
        table: Any = content.get_section_by_name(".symtab")
        assert not any(section.name.startswith(".debug") for section in content.iter_sections())
        assert not any("/" in symbol.name for symbol in table.iter_symbols())
