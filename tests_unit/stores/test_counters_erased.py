"""The ledger's flag for counters that an unlock erased: durable, cleared by a PASS, and invisible to older ledgers."""

import json
from pathlib import Path

from lorafab.domain.identity import Eui64
from lorafab.interfaces import ClaimRequest, SealedBox, SealedKey
from lorafab.stores.claims import ClaimDocument, first_claim
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import FakeClock

DEV_EUI = Eui64(0x024C464200080001)
REQUEST = ClaimRequest(
    dev_eui=DEV_EUI, join_eui=Eui64(0x00005EEF10000001), serial="LK1", label="LW:1", chip_id="C1", lot="demo-locked",
    run="run-1", station="A", operator="Eve",
)  # fmt: skip


def passed(folder: Path) -> TinyLedger:
    """A ledger with one board that passed."""
    ledger = TinyLedger.create(folder, FakeClock())
    ledger.claim(REQUEST)
    ledger.add_key(DEV_EUI, 1, [SealedKey("appkey", "0" * 16, (SealedBox("A" * 16, "Ym94"),))], "run-1")
    ledger.mark_written(DEV_EUI, 1, "run-1")
    ledger.note_nonce(DEV_EUI, 37, "run-1")
    ledger.mark_passed(DEV_EUI, 1, "run-1")
    return ledger


def test_from_the_note_on_the_board_does_not_ship_and_counts_with_a_gap(tmp_path: Path) -> None:
    """*reserved*, with the flag, in the file; the DevNonce stays. Noting it twice changes nothing."""
    ledger = passed(tmp_path)
    claim = ledger.note_erased(DEV_EUI, "run-2")
    assert (claim.state, claim.counters_erased, claim.dev_nonce) == ("reserved", True, 37)
    head = ledger.head()
    ledger.note_erased(DEV_EUI, "run-3")
    assert ledger.head() == head
    ledger.close()
    again = TinyLedger.open(tmp_path, FakeClock())
    assert again.mark_written(DEV_EUI, 1, "run-1").counters_erased
    assert again.check() == []


def test_a_pass_clears_it(tmp_path: Path) -> None:
    """From then on a DevNonce behind the ledger's is damage again."""
    ledger = passed(tmp_path)
    ledger.note_erased(DEV_EUI, "run-1")
    ledger.mark_written(DEV_EUI, 1, "run-1")
    assert not ledger.mark_passed(DEV_EUI, 1, "run-1").counters_erased
    assert ledger.check() == []


def test_a_pass_clears_it_in_the_view_too(tmp_path: Path) -> None:
    """The view had the flag; a field that a newer version leaves out must not survive from the older one."""
    ledger = passed(tmp_path)
    ledger.note_erased(DEV_EUI, "run-1")
    assert ledger.check() == []  # a sound ledger is brought into the view
    ledger.mark_written(DEV_EUI, 1, "run-1")
    ledger.mark_passed(DEV_EUI, 1, "run-1")
    assert ledger.check() == []
    again = TinyLedger.open(tmp_path, FakeClock())
    assert "counters_erased" not in (again.find(str(DEV_EUI)) or {"counters_erased": None})
    assert again.check() == []


def test_documents_from_before_the_flag_keep_their_bytes(tmp_path: Path) -> None:
    """A ledger of an earlier version reads, and its hashes hold: the flag is written only where it is true."""
    document = first_claim(REQUEST, "2026-11-20T12:00:00.000Z")
    text = document.model_dump_json()
    assert "counters_erased" not in json.loads(text)
    assert ClaimDocument.model_validate_json(text) == document
    flagged = document.changed(counters_erased=True)
    assert ClaimDocument.model_validate_json(flagged.model_dump_json()) == flagged
    ledger = passed(tmp_path)
    assert b"counters_erased" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert ledger.check() == []
