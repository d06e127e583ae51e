"""lorafab/targets: flash algorithms and facts."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from lorafab import targets
from lorafab.errors import StationError
from lorafab.targets import MCUS
from lorafab.targets.algorithm import load_algorithm

FOLDER = Path(targets.__file__).parent
ELF = FOLDER / "stm32wle5.elf"


def test_every_address_lies_where_pyocd_needs_it() -> None:
    """Entry points are Thumb code inside the image; stack, CRC code and buffers lie apart from it in SRAM1."""
    algorithm = load_algorithm(ELF, 8)
    start = algorithm["load_address"]
    end = start + 4 * len(algorithm["instructions"])
    for name in ("pc_init", "pc_unInit", "pc_erase_sector", "pc_eraseAll", "pc_program_page"):
        assert algorithm[name] & 1
        assert start < algorithm[name] < end
    first, second = algorithm["page_buffers"]
    places = [start, end, algorithm["end_stack"], algorithm["begin_stack"]]
    places += [algorithm["analyzer_address"], algorithm["analyzer_address"] + 0x600]
    places += [first, first + 2048, second, second + 2048, 0x20008000]
    assert places == sorted(places)
    assert algorithm["static_base"] in range(start, end)
    assert algorithm["min_program_length"] == 8


def test_the_image_begins_with_a_breakpoint() -> None:
    """Functions return to the load address, where the core must stop."""
    assert load_algorithm(ELF, 8)["instructions"][0] & 0xFFFF == 0xBE00


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


def test_the_manifest_tells_the_hash_of_the_file() -> None:
    """The committed binary is the one that was built."""
    manifest = (FOLDER / "MANIFEST").read_text()
    found = re.search(r"stm32wle5\.elf: \{sha256: (\w{64})\}", manifest)
    assert found is not None
    assert found[1] == hashlib.sha256(ELF.read_bytes()).hexdigest()


def test_the_binary_tells_nothing_about_the_machine_that_built_it() -> None:
    """No debug section and no path is inside, so that every machine builds the same bytes."""
    with ELF.open("rb") as stream:
        elf = ELFFile(stream)
        table: Any = elf.get_section_by_name(".symtab")
        assert not any(section.name.startswith(".debug") for section in elf.iter_sections())
        assert not any("/" in symbol.name for symbol in table.iter_symbols())


@pytest.mark.parametrize("name", sorted(MCUS))
def test_facts_are_consistent(name: str) -> None:
    """Flash is whole pages, pages are whole programming words."""
    facts = MCUS[name]
    assert facts.name == name
    assert facts.flash_size % facts.page_size == 0
    assert facts.page_size % facts.word_size == 0
    assert facts.device_id < 1 << 12
