"""The line with every logger of pyOCD at DEBUG: no log record shows a key."""

import struct
from pathlib import Path

import pytest

from tests_virtual.test_line import FLASH, IDENTITY, Bench

ALL = ("-p", "tests_virtual.chatty", "--log-level=DEBUG", "-o", "log_cli=true")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def logged(bench: Bench, folder: Path, **environment: str) -> tuple[bytes, str]:
    """The key on the board, and the log of the run that brought it there."""
    file = folder / "log.txt"
    result = bench.run(*ALL, f"--log-file={file}", "--log-file-level=DEBUG", **environment)
    assert result.status == 0, result.text
    at = IDENTITY - FLASH
    return bench.flash("b1")[at + 24 : at + 40], result.text + file.read_text()


def words_in(key: bytes, log: str) -> list[int]:
    """Words of the key that the log holds as decimal numbers or as hex."""
    return [word for word in struct.unpack("<4I", key) if str(word) in log or f"{word:08x}" in log.lower()]


def test_without_the_wall_pyocds_log_holds_the_key(bench: Bench, tmp_path: Path) -> None:
    """The control: what the next test looks for is there to be found."""
    key, log = logged(bench, tmp_path, LORAFAB_WALL="no")
    assert len(words_in(key, log)) == 4


def test_with_the_wall_it_does_not_and_the_rest_is_logged(bench: Bench, tmp_path: Path) -> None:
    """Nor any four bytes of it; writes that carry no key are shown as they are."""
    key, log = logged(bench, tmp_path)
    assert words_in(key, log) == []
    for at in range(len(key) - 3):
        assert key[at : at + 4].hex() not in log.lower()
        assert ", ".join(map(str, key[at : at + 4])) not in log
    assert "is withheld: it may hold a key" in log
    assert "write_memory_block32(" in log
