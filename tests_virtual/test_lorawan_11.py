"""A board of LoRaWAN 1.1 gets two root keys, and proves both."""

from pathlib import Path

from lorafab.domain.identity import Eui64
from lorafab.stores.keyring import open_key
from tests_virtual.project import Project


def test_both_keys_are_on_the_board_in_the_ledger_and_in_the_record(tmp_path: Path) -> None:
    """The firmware computed both check values; the rerun keeps both keys."""
    line = Project.make(tmp_path)
    line.edit_lot('lorawan: "1.0.4"', 'lorawan: "1.1"')
    first = line.run()
    assert first.status == 0, first.text
    board = line.block("b1")
    assert board.nwk_key is not None
    assert not board.app_key.same_as(board.nwk_key)
    [claim] = line.exportable()
    [key] = claim.generations
    dev_eui = Eui64.parse(claim.dev_eui)
    assert open_key(line.private, dev_eui, key, "appkey").same_as(board.app_key)
    assert open_key(line.private, dev_eui, key, "nwkkey").same_as(board.nwk_key)
    assert first.record["keys"] == {
        "generation": 1,
        "kcv_app": board.app_key.kcv(),
        "kcv_nwk": board.nwk_key.kcv(),
        "evidence": "read back",
    }
    assert f"< kcv_nwk={board.nwk_key.kcv()}" in first.record["transcript"]
    assert "< lorawan=1.1" in first.record["transcript"]
    again = line.run(f"--label={first.record['label']}")
    assert again.status == 0, again.text
    assert again.record["keys"] == first.record["keys"]
