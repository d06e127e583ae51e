"""Where DevEUIs come from: `pytest --station=sim --lot=...` on virtual boards: each source to PASS, and refusals."""

import re
import sys
from pathlib import Path

import pytest

from tests_virtual.test_line import END, FLASH, IDENTITY, Bench

UID64 = 0x1FFF7580
FIRST = 0x024C464200010001
"""DevEUI of serial LR00000001."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench with nothing on it."""
    return Bench(tmp_path)


def block(bench: Bench, board: str = "b1") -> tuple[str, str]:
    """DevEUI and serial in the identity block, read without lorafab."""
    data = bench.flash(board)[IDENTITY - FLASH :][:96]
    assert data[:4] == b"LFID"
    return data[8:16].hex().upper(), data[56:72].rstrip(b"\0").decode()


def factory_eui(bench: Bench, board: str = "b1") -> str:
    """What stock pyOCD reads at the place of the maker's number: company and device above, number below."""
    command = [sys.executable, "-m", "pyocd", "cmd", "-t", "stm32wle5jc", "-c", f"read32 {UID64:#x} 8"]
    done = bench.execute(*command, board=board)
    found = re.search(rf"{UID64:08x}:\s+([0-9a-f]{{8}})\s+([0-9a-f]{{8}})", done.stdout)
    assert found, done.stdout + done.stderr
    return (found[2] + found[1]).upper()


def test_the_label_names_the_dev_eui(bench: Bench) -> None:
    """Read from its picture."""
    result = bench.run("--lot=demo")
    assert result.status == 0, result.text
    assert result.line[2] == "024C464200000001"
    assert block(bench) == ("024C464200000001", "LF00000001")


def test_the_serial_says_which_dev_eui(bench: Bench) -> None:
    """On a label of the lot's own form; the serial alone, typed, is the same board again."""
    result = bench.run("--lot=demo-range", "--label=LR00000042/4726")
    assert result.status == 0, result.text
    dev_eui = f"{FIRST + 41:016X}"
    assert result.line[2] == dev_eui
    assert block(bench) == (dev_eui, "LR00000042")
    again = bench.run("--lot=demo-range", "--label=LR00000042")
    assert again.status == 0, again.text
    assert (again.record["attempt"], again.record["keys"]) == (2, result.record["keys"])
    assert bench.lorafab("ledger", "show", "LR00000042")["dev_eui"] == dev_eui


def test_a_serial_that_contradicts_the_label_or_the_lot_is_refused(bench: Bench) -> None:
    """ERROR: the board may be good; nothing is written, and no DevEUI is shown that nobody has."""
    for label in ("LR00005001/4726", f"LW:D0:00005EEF10000001:{FIRST:016X}:FFFF0000:SLR00000002"):
        result = bench.run("--lot=demo-range", f"--label={label}")
        assert result.status == 3, result.text
        assert "LR0000" in result.sentences
    assert bench.flash("b1") == b"\xff" * (END - FLASH)


def test_the_chip_says_which_dev_eui(bench: Bench) -> None:
    """Two boards from the roll of serials: each has the number that ST gave its chip, and they differ."""
    for board, serial in (("b1", "LC00000001"), ("b2", "LC00000002")):
        result = bench.run("--lot=demo-chip", board=board)
        assert result.status == 0, result.text
        eui = factory_eui(bench, board)
        assert eui.startswith("0080E115")
        assert result.line[2] == result.record["dev_eui"] == eui
        assert block(bench, board) == (eui, serial)
    assert block(bench, "b1") != block(bench, "b2")
    assert bench.lorafab("ledger", "check")["problems"] == []
    assert bench.lorafab("lot", "show", "demo-chip")["example_labels"][0] == "LC00000003"


def test_a_label_of_another_chip_is_refused(bench: Bench) -> None:
    """By its DevEUI before anything is claimed, by its serial by the ledger: FAIL, and the flash stays blank."""
    first = bench.run("--lot=demo-chip", "--label=LC00000007")
    assert first.status == 0, first.text
    for label, words in (
        (first.line[2], "the label names DevEUI"),
        ("LC00000007", f"belongs to DevEUI {first.line[2]}"),
    ):
        result = bench.run("--lot=demo-chip", f"--label={label}", board="b2")
        assert result.status == 1, result.text
        assert words in result.sentences
    assert bench.flash("b2") == b"\xff" * (END - FLASH)
