"""A rework that dies between sealing the next key and writing it: what ships is what the board holds."""

from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.stores.keyring import open_key
from tests_virtual.project import Project, Result


@pytest.fixture
def line(tmp_path: Path) -> Project:
    return Project.make(tmp_path)


def killed_rework(line: Project, where: str) -> Result:
    """A board passes; its lot gets another region, so that the block needs a next generation; the rework is killed.

    Returns the run that passed.
    """
    first = line.run()
    assert first.status == 0, first.text
    line.edit_lot("region: EU868", "region: US915")
    killed = line.run("-p", "tests_virtual.dies", f"--label={first.record['label']}", LORAFAB_DIE=where)
    assert killed.status == -9, killed.text
    return first


@pytest.mark.parametrize(("where", "generations"), [("sealed", 1), ("kept", 2)])
def test_the_export_ships_the_generation_that_the_board_holds(line: Project, where: str, generations: int) -> None:
    """Passed with generation 1: its opened key is the board's, and so is its check value, whatever was sealed since."""
    first = killed_rework(line, where)
    [shipped] = line.exportable()
    assert shipped.dev_eui == first.line[2]
    assert (shipped.proven, len(shipped.generations)) == (1, generations)
    board = line.block("b1")
    assert (board.generation, board.region) == (1, 5)
    key = shipped.generations[0]
    opened = open_key(line.private, Eui64.parse(shipped.dev_eui), key, "appkey")
    assert opened.same_as(board.app_key)
    assert key.kcv_app == board.app_key.kcv()
    [row] = line.export()
    assert row["dev_eui"] == str(board.dev_eui)
    assert Secret(bytes.fromhex(row["app_key"])).kcv() == board.app_key.kcv()
    assert line.ledger.check() == []


@pytest.mark.parametrize("where", ["sealed", "kept"])
def test_the_next_run_brings_the_board_and_the_export_up_to_date(line: Project, where: str) -> None:
    """The killed run is recorded; the board gets a key of its own generation, and that one ships."""
    first = killed_rework(line, where)
    again = line.run(f"--label={first.record['label']}")
    assert again.status == 0, again.text
    assert "it is recorded as INTERRUPTED" in again.sentences
    [shipped] = line.exportable()
    board = line.block("b1")
    assert shipped.proven == board.generation == {"sealed": 2, "kept": 3}[where]
    assert shipped.generations[-1].kcv_app == board.app_key.kcv()
    assert board.region == 8
    assert line.ledger.check() == []


def test_from_the_note_on_nothing_ships(line: Project) -> None:
    """The next byte could have been written: the board must pass anew, and does."""
    first = killed_rework(line, "noted")
    assert line.export() == []
    assert line.block("b1").generation == 1
    again = line.run(f"--label={first.record['label']}")
    assert again.status == 0, again.text
    [shipped] = line.exportable()
    assert shipped.proven == line.block("b1").generation == 3


def test_a_replaced_chip_gets_its_own_generation_and_goes_on_counting(line: Project) -> None:
    """Chip A passed and counted; after `ledger rebind` chip B passes with generation 2, and no DevNonce repeats."""
    first = line.run()
    assert first.status == 0, first.text
    label, dev_eui, old = first.record["label"], first.line[2], line.block("b1")
    for _ in range(2):
        assert line.run(f"--label={label}").status == 0
    assert line.lorafab("ledger", "show", dev_eui)["dev_nonce"] == 3

    refused = line.run(f"--label={label}", board="b2")
    assert refused.status == 1
    assert "ledger rebind" in refused.sentences
    line.rebind(dev_eui, refused.record["chip_id"])
    assert line.exportable() == [], "the old board is gone, the new one has not passed"

    passed = line.run(f"--label={label}", board="b2")
    assert passed.status == 0, passed.text
    new = line.block("b2")
    assert (new.dev_eui, new.generation) == (old.dev_eui, 2)
    assert not new.app_key.same_as(old.app_key)
    [shipped] = line.exportable()
    assert (shipped.proven, shipped.chip_id, shipped.dev_nonce) == (2, passed.record["chip_id"], 4)
    assert shipped.generations[1].kcv_app == new.app_key.kcv()
    assert [said for said in passed.record["transcript"] if "NONCE+" in said] == ["> NONCE+"] * 4

    back = line.run(f"--label={label}", board="b1")
    assert back.status == 1, "the old chip is not this identity any more"
    assert passed.record["chip_id"] in back.sentences
    events = [entry.event for entry in line.ledger.entries() if not isinstance(entry, str)]
    assert "rebind" in events
    assert line.ledger.check() == []
