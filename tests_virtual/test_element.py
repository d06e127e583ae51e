"""Identity store `secure-element` on virtual boards: firmware on the core asks the element over its two wires."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests_virtual.test_line import Bench

LOT = "--lot=demo-element"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench with nothing on it."""
    return Bench(tmp_path)


def manifest(bench: Bench) -> Path:
    """What the virtual elements' maker delivered."""
    return bench.data / "virtual" / "elements.json"


def entries(bench: Bench) -> list[dict[str, Any]]:
    """Its entries."""
    found: list[dict[str, Any]] = json.loads(manifest(bench).read_text())
    return found


def test_a_board_passes_by_what_its_element_and_its_maker_say(bench: Bench) -> None:
    """DevEUI of the element, no key in vault or record, and the record says that the key is unproven; so on rework."""
    result = bench.run(LOT)
    assert result.status == 0, result.text
    keys = result.record["keys"]
    assert (keys["generation"], keys["kcv_app"], keys["evidence"]) == (0, None, "unproven")
    [entry] = entries(bench)
    payload = json.loads(base64.urlsafe_b64decode(entry["payload"] + "=="))
    name = f"{payload['uniqueId'].upper()} {result.line[2]} ATECC"
    certificate = base64.b64decode(payload["publicKeySet"]["keys"][0]["x5c"][0])
    assert name.encode() in certificate
    shown = bench.lorafab("ledger", "show", "LS00000001")
    assert (shown["dev_eui"], shown["state"], shown["proven"]) == (result.line[2], "passed", None)
    assert shown["generations"] == []
    again = bench.run(LOT)
    assert again.status == 0, again.text
    assert (again.line[2], again.record["attempt"]) == (result.line[2], 2)
    assert len(entries(bench)) == 1
    assert bench.lorafab("ledger", "check")["problems"] == []


def test_an_element_that_nobody_vouches_for_fails_its_board(bench: Bench) -> None:
    """It is not on the manifest: FAIL, by its number, and nothing is bound."""
    assert bench.run(LOT, board="other").status == 0
    kept = manifest(bench).read_text()
    bench.run(LOT, "--label=LS00005001", board="b1")  # refused for its label: the board is made, and nothing bound
    manifest(bench).write_text(kept)
    result = bench.run(LOT, "--label=LS00000002")
    assert result.status == 1, result.text
    assert "is not on the manifest elements.json, which has 1 others" in result.sentences
    assert len(bench.lorafab("ledger", "list")) == 1


def test_a_forged_entry_is_the_stations_fault(bench: Bench) -> None:
    """ERROR: the board may be good, its manifest is not; the sentence names the check."""
    assert bench.run(LOT).status == 0
    [entry] = entries(bench)
    entry["signature"] = ("B" if entry["signature"][0] == "A" else "A") + entry["signature"][1:]
    manifest(bench).write_text(json.dumps([entry]))
    result = bench.run(LOT)
    assert result.status == 3, result.text
    assert "entry 1 fails the check of its signature" in result.sentences
