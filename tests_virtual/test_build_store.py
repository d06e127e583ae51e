"""Identity store `build` on virtual boards: compiled with the real compiler, run by the emulated core."""

import importlib.util
from pathlib import Path

import pytest

from lorafab.drivers.image_build import ram_file_systems
from tests_virtual.test_line import Bench

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ziglang") is None, reason="the C compiler (dev extra) is not installed"
    ),
    pytest.mark.skipif(Path("/dev/shm") not in ram_file_systems(), reason="/dev/shm is no file system in RAM"),
]
LOT = "--lot=demo-build"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench with nothing on it."""
    return Bench(tmp_path)


def test_each_board_gets_an_image_of_its_own(bench: Bench) -> None:
    """PASS by what the firmware says; two boards differ; flashed again: the next generation, and the NVM kept.

    The record does not say that the product's file is on the board.
    """
    first, second = bench.run(LOT), bench.run(LOT, board="b2")
    assert (first.status, second.status) == (0, 0), first.text + second.text
    assert first.record["keys"]["evidence"] == "read back"
    named = "compiled for this board alone; the product's reference is endnode-wle5-build.hex"
    assert first.record["image_file"] == named
    assert first.record["keys"]["kcv_app"] != second.record["keys"]["kcv_app"]
    code = [bench.flash(board)[:0x3E800] for board in ("b1", "b2")]
    assert code[0] != code[1]
    assert bytes.fromhex(first.line[2]) in code[0]
    assert bytes.fromhex(second.line[2]) in code[1]
    again = bench.run(LOT)
    assert again.status == 0, again.text
    assert again.line[2] == first.line[2]
    assert again.record["keys"]["generation"] == 2
    values = [m["value"] for step in again.record["steps"] for m in step["measurements"] if m["name"] == "dev_nonce"]
    assert values == [2], "the first run spent one, this one the next"
    assert bench.lorafab("ledger", "check")["problems"] == []
