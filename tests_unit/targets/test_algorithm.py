"""lorafab/targets/algorithm.py and the flash algorithms in the package."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from lorafab import targets
from lorafab.errors import StationError
from lorafab.targets.algorithm import load_algorithm

FOLDER = Path(targets.__file__).parent
ELF = FOLDER / "stm32wle5.elf"


@dataclass(frozen=True)
class Built:
    """One of our algorithms."""

    name: str
    manifest: str
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
    Built("stm32wle5", "MANIFEST", 8, 2048, True, 0x20008000),
    Built("stm32l072", "MANIFEST.stm32l072", 4, 4096, True, 0x20005000),
    Built("stm32l072-eeprom", "MANIFEST.stm32l072-eeprom", 4, 4, False, 0x20005000),
]
every_algorithm = pytest.mark.parametrize("built", ALGORITHMS, ids=lambda built: built.name)


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


@every_algorithm
def test_the_manifest_tells_the_hash_of_the_file(built: Built) -> None:
    """The committed binary is the one that was built."""
    manifest = (FOLDER / built.manifest).read_text()
    found = re.search(rf"{re.escape(built.elf.name)}: \{{sha256: (\w{{64}})\}}", manifest)
    assert found is not None
    assert found[1] == hashlib.sha256(built.elf.read_bytes()).hexdigest()


def test_no_algorithm_is_forgotten_here() -> None:
    """Every binary in the package is one of those above."""
    assert {path.stem for path in FOLDER.glob("*.elf")} == {built.name for built in ALGORITHMS}


@every_algorithm
def test_the_binary_tells_nothing_about_the_machine_that_built_it(built: Built) -> None:
    """No debug section and no path is inside, so that every machine builds the same bytes."""
    with built.elf.open("rb") as stream:
        elf = ELFFile(stream)
        table: Any = elf.get_section_by_name(".symtab")
        assert not any(section.name.startswith(".debug") for section in elf.iter_sections())
        assert not any("/" in symbol.name for symbol in table.iter_symbols())
