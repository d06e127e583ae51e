"""Whatever is changed behind the ledger's back: `lorafab ledger check` names it, is never silent and never raises."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab import cli
from lorafab.domain.identity import Eui64
from lorafab.drivers.clock import SystemClock
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.stores.conftest import request_for
from tests_unit.stores.test_records import record

Check = Callable[..., tuple[int, dict[str, Any], str]]
MASKS = (0x01, 0x20, 0x80, 0xFF)


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A folder with a ledger of two boards, a voided label and a lot, records, and a mirror; some of it in the view."""
    from lorafab.stores.keyring import create_pair

    data, mirror = tmp_path / "data", tmp_path / "mirror"
    mirror.mkdir()
    create_pair(tmp_path / "private.pem", tmp_path / "vault.pub", None)
    ledger, vault = TinyLedger.create(data, SystemClock()), Vault(tmp_path / "vault.pub", mirror)
    for n in (1, 2):
        asked = request_for(n)
        ledger.claim(asked)
        keys = [vault.new_key(asked.dev_eui, 1, slot)[1] for slot in ("appkey", "nwkkey")]
        ledger.add_key(asked.dev_eui, 1, keys, "r1")
        ledger.mark_written(asked.dev_eui, 1, "r1")
        RecordStore(data).append(record(f"R{n}", dev_eui=str(asked.dev_eui), ledger_head=ledger.head()))
        ledger.mark_passed(asked.dev_eui, 1, "r1")
    ledger.void(request_for(3, chip_id="", run=""), reason="torn")
    ledger.note_printed("demo", 9, reason="sheet", operator="Eve")
    assert ledger.check() == []
    ledger.note_nonce(request_for(1).dev_eui, 1, "r1")
    RecordStore(data).append(record("R3", dev_eui=str(request_for(1).dev_eui), ledger_head=ledger.head()))
    return tmp_path


@pytest.fixture
def check(line: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """`lorafab ledger check --json`: status, document (empty where there is none), sentence."""

    def run(*more: str) -> tuple[int, dict[str, Any], str]:
        arguments = ("--json", f"--root={line}", f"--data={line / 'data'}", f"--mirror={line / 'mirror'}", *more)
        status = cli.main(["ledger", "check", *arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, json.loads(said.out) if said.out else {}, said.err

    return run


def files_of(line: Path) -> Iterator[Path]:
    """Everything whose change must show: the ledger, and the mirror."""
    for path in sorted([*(line / "data" / "ledger").rglob("*"), *(line / "mirror").iterdir()]):
        if path.is_file() and path.name != "lock":
            yield path


def test_a_sound_line_has_no_problems(line: Path, check: Check) -> None:
    """Every byte as it was written, and an orphan of the mirror is no problem."""
    status, document, sentence = check()
    assert (status, sentence) == (0, "")
    assert (document["problems"], document["orphans"]) == ([], [])
    Vault(line / "vault.pub", line / "mirror").new_key(Eui64(5), 1, "appkey")
    status, document, _ = check()
    assert (status, document["problems"]) == (0, [])
    assert [Path(name).name[:18] for name in document["orphans"]] == ["0000000000000005-1"]


def test_a_flipped_byte_shows_in_every_file(line: Path, check: Check) -> None:
    """First, last, and some in between, by each mask; nothing of it is repaired away silently."""
    choose, tried = random.Random(2), 0
    for path in files_of(line):
        kept = path.read_bytes()
        places = {0, len(kept) - 1, *(choose.randrange(len(kept)) for _ in range(6))} if kept else set()
        for place in sorted(places):
            _flip_shows(line, check, path, kept, place, choose.choice(MASKS))
            tried += 1
    assert tried > 150
    assert check()[0] == 0


@pytest.mark.slow
def test_every_flipped_byte_shows(line: Path, check: Check) -> None:
    """Each byte of small files, one after the other, and every 11th of those with more than 300."""
    choose = random.Random(3)
    for path in files_of(line):
        kept = path.read_bytes()
        for place in range(0, len(kept), 1 if len(kept) <= 300 else 11):
            _flip_shows(line, check, path, kept, place, choose.choice(MASKS))
    assert check()[0] == 0


def _flip_shows(line: Path, check: Check, path: Path, kept: bytes, place: int, mask: int) -> None:
    before = {other: other.read_bytes() for other in files_of(line)}
    path.write_bytes(kept[:place] + bytes([kept[place] ^ mask]) + kept[place + 1 :])
    status, document, sentence = check()
    where = f"{path.name}, byte {place} of {len(kept)}, mask {mask:#x}"
    assert status == 1, where
    assert sentence.startswith("lorafab: "), where
    assert document.get("problems") or "ledger.json is damaged" in sentence, where
    for other, data in before.items():
        if not other.exists() or other.read_bytes() != data:
            other.write_bytes(data)


def damage_lines(path: Path, act: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(act(path.read_bytes().splitlines(keepends=True))))


def edit(path: Path, act: Callable[[dict[str, Any]], object]) -> None:
    """Change the rows of a file of the view, as well-formed as lorafab writes them."""
    document = json.loads(path.read_bytes())
    act(next(iter(document.values())))
    path.write_bytes(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def claim_file(line: Path, n: int) -> Path:
    name = str(request_for(n).dev_eui).encode()
    claims = line / "data" / "ledger" / "view" / "claims"
    return next(path for path in claims.iterdir() if name in path.read_bytes())


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda lines: lines[:3] + lines[4:], "history.jsonl:4: entry 5 does not follow entry 3"),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "history.jsonl:4: entry 5 does not follow"),
        (lambda lines: [*lines[:3], lines[3].replace(b"Eve", b"Bob"), *lines[4:]], "history.jsonl:4: entry 4 was"),
        (lambda lines: lines[1:], "history.jsonl:1: entry 2 does not follow entry 0"),
        (lambda lines: lines[:-1], "the record of run R3 names ledger head"),
        (lambda lines: lines[:-2], "the view was made from entry"),
        (lambda lines: [], "is in the view (entry"),
    ],
    ids=["deleted", "swapped", "changed", "first", "cut", "cut behind the view", "emptied"],
)  # fmt: skip
def test_the_history_cannot_be_changed_unseen(
    line: Path, check: Check, act: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    """Rows deleted, swapped, changed, and the end cut off: named with line and entry."""
    damage_lines(line / "data" / "ledger" / "history.jsonl", act)
    status, document, _ = check()
    assert status == 1
    assert any(said in text for text in document["problems"]), document["problems"]


def test_the_view_cannot_be_changed_unseen(line: Path, check: Check) -> None:
    """Well-formed changes of claims, index and lots: each named with its file, and what it is about."""
    view = line / "data" / "ledger" / "view"
    one, two = claim_file(line, 1), claim_file(line, 2)
    kept = {path: path.read_bytes() for path in files_of(line)}
    index = next(path for path in (view / "index").iterdir() if b'"chip"' in path.read_bytes())
    acts: list[tuple[Callable[[], object], str]] = [
        (lambda: edit(one, lambda rows: next(iter(rows.values())).update(state="exported")), one.name),
        (lambda: edit(one, dict.clear), f"DevEUI {request_for(1).dev_eui} is in the history"),
        (lambda: one.unlink(), f"DevEUI {request_for(1).dev_eui} is in the history"),
        (lambda: (one.write_bytes(kept[two]), two.write_bytes(kept[one])), "does not belong there"),
        (lambda: (view / "claims" / "more.json").write_bytes(kept[one]), "more.json"),
        (lambda: edit(index, lambda rows: next(iter(rows.values())).update(dev_euis=["0" * 16])), index.name),
        (lambda: edit(index, dict.clear), f"{index.name}: the index entry for chip"),
        (lambda: index.unlink(), f"{index.name}: the index entry for chip"),
        (lambda: edit(view / "lots" / "demo.json", lambda rows: rows["1"].update(printed=5)), "demo.json"),
        (lambda: (view / "lots" / "demo.json").unlink(), "lot demo is in the history"),
    ]
    for act, said in acts:
        act()
        status, document, sentence = check()
        assert status == 1
        assert any(said in text for text in document["problems"]), (said, document["problems"], sentence)
        (view / "claims" / "more.json").unlink(missing_ok=True)
        for path, data in kept.items():
            path.write_bytes(data)
    assert check()[0] == 0


def test_a_rebuild_heals_the_view_and_nothing_else(line: Path, check: Check) -> None:
    """After it the check is clean; a damaged history is refused and left."""
    claim_file(line, 1).write_bytes(b"{")
    assert check()[0] == 1
    status, document, _ = check("--rebuild")
    assert (status, document["problems"]) == (0, [])
    history = line / "data" / "ledger" / "history.jsonl"
    damage_lines(history, lambda lines: lines[:2] + lines[3:])
    kept = history.read_bytes()
    status, document, sentence = check("--rebuild")
    assert (status, document) == (1, {})
    assert "restore the history from the backup first" in sentence
    assert history.read_bytes() == kept


def test_a_record_cannot_name_another_head(line: Path, check: Check) -> None:
    """Nor be damaged: its file is named."""
    path = line / "data" / "records" / f"{request_for(2).dev_eui}.json"
    kept = path.read_bytes()
    head = json.loads(kept)["attempts"]["1"]["ledger_head"].encode()
    path.write_bytes(kept.replace(head, head[::-1]))
    assert "the record of run R2 names ledger head" in check()[1]["problems"][0]
    path.write_bytes(kept[:-1])
    assert path.name in check()[1]["problems"][0]


def test_the_mirror_cannot_be_changed_unseen(line: Path, check: Check) -> None:
    """A file removed, two swapped, one renamed, a key sealed by somebody else in its place, a stranger's file."""
    mirror = line / "mirror"
    one, two, *_ = sorted(mirror.iterdir())
    kept = {path: path.read_bytes() for path in mirror.iterdir()}
    other = json.loads(kept[one])
    other["boxes"][0]["box"] = json.loads(kept[two])["boxes"][0]["box"]
    fewer = json.loads(kept[one])
    fewer["boxes"] = []
    acts: list[tuple[Callable[[], object], str]] = [
        (lambda: one.unlink(), f"{one.name} is in the ledger and in no mirror"),
        (lambda: (one.write_bytes(kept[two]), two.write_bytes(kept[one])), "which is not what its name says"),
        (lambda: one.rename(mirror / one.name.replace("-1-", "-2-")), "which is not what its name says"),
        (lambda: one.write_text(json.dumps(other, sort_keys=True, separators=(",", ":")) + "\n"), "another sealed key"),
        (lambda: one.write_text(json.dumps(fewer, sort_keys=True, separators=(",", ":")) + "\n"), "another sealed key"),
        (lambda: one.write_bytes(kept[one][:-9]), f"{one.name} is damaged"),
        (lambda: (mirror / "notes.txt").write_text("x"), "notes.txt is no sealed key"),
    ]
    for act, said in acts:
        act()
        status, document, _ = check()
        assert status == 1
        assert any(said in text for text in document["problems"]), (said, document["problems"])
        for path in mirror.iterdir():
            path.unlink()
        for path, data in kept.items():
            path.write_bytes(data)
    assert check()[0] == 0
    assert check("--mirror=/nowhere")[0] == 1


def test_mirrors_of_the_station_files_are_looked_at_by_themselves(
    line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that are there; a station file that cannot be read is a problem."""
    stations = line / "stations"
    stations.mkdir()
    (stations / "A.yaml").write_text(
        "station: A\nproduct: p\nlot: demo\njig: {driver: manual}\nscanner: {driver: prompt}\n"
        "programmer: {driver: pyocd, probe: X, swd_khz: 4000}\nlink: {driver: serial, port: /dev/null, baud: 9600}\n"
        "store: {driver: tinydb}\nvault: {public_key: vault.pub, mirror: mirror}\n"
    )
    arguments = ["ledger", "check", "--json", f"--root={line}", "--data=data"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["mirrors"] == [str(line / "mirror")]
    next((line / "mirror").iterdir()).unlink()
    assert cli.main(arguments) == 1
    capsys.readouterr()
    (stations / "A.yaml").write_text("station: [")
    assert cli.main(arguments) == 1
    assert "whether station A has a mirror is unknown" in capsys.readouterr().err
