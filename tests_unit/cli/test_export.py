"""`lorafab export`: from boards that passed to what the customer's network holds."""

import csv
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyrage
import pytest

from lorafab import cli
from lorafab.cli.private_key import open_private
from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.stores.keyring import create_pair
from lorafab.stores.ledger import BaseLedger
from tests_unit.cli import answer
from tests_unit.export.chirpstack_server import APPLICATION, PROFILE, TOKEN, ZEROS, running
from tests_unit.export.lots import ROOT, Factory, open_factory
from tests_unit.export.test_tts import as_imported, objects

CHIRPSTACK = (f"--application={APPLICATION}", f"--device-profile={PROFILE}")
FORMATS: dict[str, tuple[str, ...]] = {
    "tts-csv": ("--frequency-plan=EU_863_870_TTN",),
    "tts-json": ("--frequency-plan=EU_863_870_TTN",),
    "chirpstack": CHIRPSTACK,
    "csv": (),
}
OTHERS: dict[str, tuple[str, ...]] = {
    "thingpark": ("--model=LORA/GenericA.1.0.4",),
    "aws": ("--destination=D", "--device-profile=P", "--service-profile=S"),
}


class Answer(answer.Answer):
    """What a command gave; beside what it did, it may warn of keys in the clear."""

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert self.status == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return open_factory(tmp_path / "project")


@pytest.fixture
def export(factory: Factory, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Answer]]:
    """`lorafab export --lot L1 ...`; no key of the factory's, in any spelling, is ever printed."""
    printed = list[str]()

    def run(*arguments: str, lot: str = "L1", private: Path | None = None) -> Answer:
        given = [f"--lot={lot}", f"--private={private or factory.private}", f"--root={factory.root}", "--operator=Ada"]
        status = cli.main(["export", *given, *arguments])
        said = capsys.readouterr()
        printed.extend((said.out, said.err))
        return Answer(status, said.out, said.err)

    yield run
    text = "\n".join(printed)
    for key in factory.keys.values():
        raw = key.reveal()
        for spelling in (raw.hex(), raw.hex().upper(), repr(raw), str(list(raw))):
            assert spelling not in text, "a key was printed"
    assert TOKEN not in text


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def history(factory: Factory) -> list[Any]:
    return [entry for entry in factory.ledger.entries() if getattr(entry, "event", "") == "export"]


# --- one lot, every format ---


@pytest.mark.parametrize("lorawan", ["1.0.4", "1.1"])
def test_one_lot_in_every_format_has_the_same_keys_in_the_right_places(
    factory: Factory, export: Callable[..., Answer], lorawan: str
) -> None:
    """Read back field by field, after decryption with the customer's identity."""
    lot = factory.lot(lorawan=lorawan)
    boards = [factory.produce(lot, number) for number in (2, 0, 1)]
    customer = pyrage.x25519.Identity.generate()
    found: dict[str, bytes] = {}
    for name, more in FORMATS.items():
        out = factory.root / f"{name}.age"
        told = export(f"--format={name}", f"--out={out}", f"--recipient={customer.to_public()}", *more, "--json")
        assert told.document["boards"] == 3
        assert told.document["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
        assert told.err == ""
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        found[name] = pyrage.decrypt(out.read_bytes(), [customer])
    two = lorawan == "1.1"
    tts, stream, plain = as_imported(found["tts-csv"]), objects(found["tts-json"]), rows(found["csv"])
    chirpstack = json.loads(found["chirpstack"])
    for number, dev_eui in enumerate(sorted(boards)):
        app, nwk = factory.key(dev_eui), factory.key(dev_eui, "nwkkey") if two else None
        lower, serial = str(dev_eui).lower(), f"SB{number + 1:06}"
        about = {
            "dev_eui": str(dev_eui),
            "join_eui": "70B3D57ED0000001",
            "app_key": app,
            **({"nwk_key": nwk} if nwk else {}),
        }
        mac, phy = ("MAC_V1_1", "PHY_V1_1_REV_B") if two else ("MAC_V1_0_4", "RP002_V1_0_3")
        assert tts[number] == {
            **about,
            "id": f"eui-{lower}",
            "name": serial,
            "frequency_plan_id": "EU_863_870_TTN",
            "lorawan_version": mac,
            "lorawan_phy_version": phy,
            "band_id": "EU_863_870",
        }
        assert stream[number] == {
            "ids": {"device_id": f"eui-{lower}", "dev_eui": str(dev_eui), "join_eui": "70B3D57ED0000001"},
            "name": serial,
            "lorawan_version": mac,
            "lorawan_phy_version": phy,
            "frequency_plan_id": "EU_863_870_TTN",
            "supports_join": True,
            "root_keys": {"app_key": {"key": app}, **({"nwk_key": {"key": nwk}} if nwk else {})},
        }
        slots = {"nwkKey": nwk.lower(), "appKey": app.lower()} if nwk else {"nwkKey": app.lower()}
        assert chirpstack[number] == {
            "POST /api/devices": {
                "device": {
                    "devEui": lower,
                    "name": serial,
                    "applicationId": APPLICATION,
                    "deviceProfileId": PROFILE,
                    "tags": {"serial": serial},
                    "joinEui": "70b3d57ed0000001",
                }
            },
            f"POST /api/devices/{lower}/keys": {"deviceKeys": {"devEui": lower, **slots}},
        }
        key = factory.ledger.sealed_keys(dev_eui)[0]
        assert plain[number] == {
            **about,
            "serial": serial,
            "kcv": key.kcv_app,
            **({"kcv_nwk": key.kcv_nwk} if nwk else {}),
            "generation": "1",
            "lorawan": lorawan,
            "region": "EU868",
            "label": lot.label_text(number),
        }
        assert factory.state(dev_eui) == ("exported", 1)


def test_the_other_networks_get_the_same_key(factory: Factory, export: Callable[..., Answer]) -> None:
    """ThingPark and AWS; 1.1 is refused where the format cannot say it."""
    dev_eui = factory.produce(factory.lot(), 0)
    for name, more in OTHERS.items():
        out = factory.root / name
        assert export(f"--format={name}", f"--out={out}", "--plain", *more).status == 0
        assert factory.key(dev_eui) in out.read_text().upper()
        assert str(dev_eui) in out.read_text().upper()
    factory.lot("L2", lorawan="1.1", digit="C")
    told = export("--format=thingpark", f"--out={factory.root / 'x'}", "--plain", *OTHERS["thingpark"], lot="L2")
    told.refused(4, "NwkKey of LoRaWAN 1.1")


def test_a_plain_file_is_0600_and_said_to_be_in_the_clear(factory: Factory, export: Callable[..., Answer]) -> None:
    """Whatever the umask is; the same export again gives the same bytes, and one entry of history a board."""
    factory.produce(factory.lot(), 0)
    before = os.umask(0)
    try:
        told = export("--format=csv", f"--out={factory.root / 'a.csv'}", "--plain")
    finally:
        os.umask(before)
    assert told.status == 0
    assert "in the clear (mode 600)" in told.err
    assert stat.S_IMODE((factory.root / "a.csv").stat().st_mode) == 0o600
    again = export("--format=csv", f"--out={factory.root / 'b.csv'}", "--plain", "--json").document
    assert (factory.root / "a.csv").read_bytes() == (factory.root / "b.csv").read_bytes()
    assert (again["boards"], again["exported_before"]) == (1, 1)
    (entry,) = history(factory)
    assert (entry.operator, entry.reason[:15]) == ("Ada", "csv to a.csv, s")


def test_a_file_that_exists_is_never_replaced(factory: Factory, export: Callable[..., Answer]) -> None:
    """Nor a link; the ledger is as it was."""
    dev_eui = factory.produce(factory.lot(), 0)
    out = factory.root / "a.csv"
    out.write_text("good")
    export("--format=csv", f"--out={out}", "--plain").refused(4, "a.csv exists", "another name")
    link = factory.root / "link"
    link.symlink_to(factory.root / "nowhere")
    export("--format=csv", f"--out={link}", "--plain").refused(4, "link exists")
    assert out.read_text() == "good"
    assert factory.state(dev_eui) == ("passed", None)


def test_a_file_that_appears_meanwhile_is_not_replaced_either(
    factory: Factory, export: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else exports to the same name while the passphrase is asked for."""
    dev_eui = factory.produce(factory.lot(), 0)
    out = factory.root / "a.csv"

    def slowly(options: Any) -> object:
        out.write_text("good")
        return open_private(options)

    monkeypatch.setattr("lorafab.cli.export.open_private", slowly)
    export("--format=csv", f"--out={out}", "--plain").refused(4, "a.csv exists")
    assert out.read_text() == "good"
    assert factory.state(dev_eui) == ("passed", None)


def test_a_file_that_cannot_be_written_leaves_the_ledger_as_it_was(
    factory: Factory, export: Callable[..., Answer]
) -> None:
    """No folder for it."""
    dev_eui = factory.produce(factory.lot(), 0)
    export("--format=csv", f"--out={factory.root / 'no' / 'a.csv'}", "--plain").refused(1, "could not be")
    assert factory.state(dev_eui) == ("passed", None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--out=a.csv", "--operator=A\nB"), "the operator"), (("--out=a\n.csv",), "give another one")],
)
def test_what_the_ledger_cannot_keep_is_told_before_a_key_is_written(
    factory: Factory,
    export: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    """An operator's name or a file's name with a line end: no file, and the boards are only *passed*."""
    dev_eui = factory.produce(factory.lot(), 0)
    monkeypatch.chdir(factory.root)
    told = export("--format=csv", "--plain", *arguments)
    assert told.status != 0
    assert words in told.err
    assert not list(factory.root.glob("*.csv"))
    assert factory.state(dev_eui) == ("passed", None)


# --- which boards ---


def test_only_boards_that_passed_are_exported_and_the_others_are_counted(
    factory: Factory, export: Callable[..., Answer]
) -> None:
    """Reserved, written, quarantined, scrapped: named by state, none in the file; another lot's board neither."""
    lot, other = factory.lot(), factory.lot("L2", digit="C")
    good = factory.produce(lot, 0)
    factory.seal(lot, factory.claim(lot, 1))
    written = factory.claim(lot, 2)
    factory.write(written, factory.seal(lot, written))
    for number, state in ((3, "quarantined"), (4, "scrapped"), (5, "scrapped")):
        factory.ledger.move(factory.produce(lot, number), state, reason="x", operator="Eve")  # type: ignore[arg-type]
    factory.produce(other, 6)
    out = factory.root / "a.csv"
    told = export("--format=csv", f"--out={out}", "--plain", "--json").document
    euis = [f"70B3D5499A1B000{number}" for number in range(6)]
    assert told["left_out"] == {
        "quarantined": [euis[3]],
        "reserved": [euis[1]],
        "scrapped": [euis[4], euis[5]],
        "written": [euis[2]],
    }
    assert [row["dev_eui"] for row in rows(out.read_bytes())] == [str(good)]
    text = export("--format=csv", f"--out={factory.root / 'b.csv'}", "--plain").out
    assert "boards: 1\n" in text
    assert f"  scrapped: 2 boards ({euis[4]}, {euis[5]})\n" in text


def test_a_rework_that_died_between_sealing_and_writing_ships_what_is_on_the_board(
    factory: Factory, export: Callable[..., Answer]
) -> None:
    """Generation 2 is sealed and newer; generation 1 was proven, and its check value is the exported key's."""
    lot = factory.lot()
    dev_eui = factory.produce(lot, 0)
    factory.claim(lot, 0)
    assert factory.seal(lot, dev_eui) == 2
    out = factory.root / "a.csv"
    assert export("--format=csv", f"--out={out}", "--plain").status == 0
    (row,) = rows(out.read_bytes())
    assert (row["generation"], row["app_key"]) == ("1", factory.key(dev_eui, generation=1))
    assert row["kcv"] == factory.ledger.sealed_keys(dev_eui)[0].kcv_app


def test_the_history_says_what_leaves_the_house(factory: Factory, export: Callable[..., Answer]) -> None:
    """A view in which somebody made an older generation the proven one changes nothing; a changed history stops all."""
    lot = factory.lot()
    dev_eui = factory.produce(lot, 0)
    factory.produce(lot, 0)
    assert factory.ledger.check() == []  # and everything is in the view now
    folder, changed = factory.root / "data" / "ledger", 0
    for path in (folder / "view" / "claims").rglob("*.json"):
        text = path.read_text()
        changed += text.count('"proven":2')
        path.write_text(text.replace('"proven":2', '"proven":1'))
    assert changed == 1
    out = factory.root / "a.csv"
    export("--format=csv", f"--out={out}", "--plain")
    (row,) = rows(out.read_bytes())
    assert (row["generation"], row["app_key"]) == ("2", factory.key(dev_eui, generation=2))
    history = folder / "history.jsonl"
    history.write_text(history.read_text().replace('"proven":2', '"proven":1'))
    export("--format=csv", f"--out={factory.root / 'b.csv'}", "--plain").refused(1, "was changed after it was written")


def test_a_board_that_was_re_keyed_after_the_export_is_due_again(
    factory: Factory, export: Callable[..., Answer]
) -> None:
    """Left out while it is in rework; then exported with its new key and named."""
    lot = factory.lot()
    first, second = factory.produce(lot, 0), factory.produce(lot, 1)
    assert export("--format=csv", f"--out={factory.root / 'a.csv'}", "--plain").status == 0
    factory.rekey(lot, 1)
    told = export("--format=csv", f"--out={factory.root / 'b.csv'}", "--plain", "--json").document
    assert (told["re_keyed"], told["exported_before"]) == ([str(second)], 1)
    keys = {row["dev_eui"]: row["app_key"] for row in rows((factory.root / "b.csv").read_bytes())}
    assert keys == {str(first): factory.key(first), str(second): factory.key(second, generation=2)}
    assert factory.state(second) == ("exported", 2)


def test_a_demo_lot_is_exported_on_request_only(factory: Factory, export: Callable[..., Answer]) -> None:
    """Virtual boards too, of a demo lot."""
    lot = factory.lot("D1", kind="demo")
    factory.produce(lot, 0, virtual=True)
    out = f"--out={factory.root / 'a.csv'}"
    export("--format=csv", out, "--plain", lot="D1").refused(4, "kind demo", "--demo")
    assert export("--format=csv", out, "--plain", "--demo", lot="D1").status == 0


def test_a_virtual_board_in_a_production_lot_stops_everything(factory: Factory, export: Callable[..., Answer]) -> None:
    """Also with --demo; scrapped, it is one of those that are left out."""
    lot = factory.lot()
    good, virtual = factory.produce(lot, 0), factory.produce(lot, 1, virtual=True)
    out = factory.root / "a.csv"
    for demo in ((), ("--demo",)):
        export("--format=csv", f"--out={out}", "--plain", *demo).refused(1, str(virtual), "virtual chip 4C465642")
    assert not out.exists()
    assert factory.state(good) == ("passed", None)
    factory.ledger.move(virtual, "scrapped", reason="x", operator="Eve")
    assert export("--format=csv", f"--out={out}", "--plain").status == 0


def test_a_lot_without_boards_that_passed_is_refused(factory: Factory, export: Callable[..., Answer]) -> None:
    """With what the ledger has of it."""
    lot, out = factory.lot(), factory.root / "a.csv"
    export("--format=csv", f"--out={out}", "--plain").refused(1, "no board of lot L1 has passed", "none at all")
    factory.claim(lot, 0)
    export("--format=csv", f"--out={out}", "--plain").refused(1, "1 reserved")
    assert not out.exists()


def test_a_lot_of_another_ledger_is_refused(factory: Factory, export: Callable[..., Answer]) -> None:
    """Its boards are not here, or are another's."""
    lot = factory.lot()
    factory.produce(lot, 0)
    path = factory.root / "stations" / "lots" / "L1.yaml"
    path.write_text(path.read_text().replace(factory.ledger.ledger_id, 32 * "a"))
    export("--format=csv", f"--out={factory.root / 'a'}", "--plain").refused(1, 32 * "a", factory.ledger.ledger_id)


def test_a_key_that_was_only_asserted_is_not_exported(factory: Factory, export: Callable[..., Answer]) -> None:
    """Nobody has read it back, so the board may hold another: named when it is left out, and when nothing else is."""
    lot = factory.lot()
    asserted = factory.claim(lot, 0)
    factory.write(asserted, factory.seal(lot, asserted))
    factory.ledger.mark_passed(asserted, 1, factory.runs[asserted], "asserted")
    export("--format=csv", f"--out={factory.root / 'a'}", "--plain").refused(
        1, f"the keys of 1 board ({asserted}) of lot L1 were only asserted: nobody has read them back", "by a join"
    )
    proven = factory.produce(lot, 1)
    told = export("--format=csv", f"--out={factory.root / 'b'}", "--plain", "--json").document
    assert (told["boards"], told["left_out"]) == (1, {"passed, key asserted": [str(asserted)]})
    assert [row["dev_eui"] for row in rows((factory.root / "b").read_bytes())] == [str(proven)]
    assert factory.state(asserted) == ("passed", None)


def element(factory: Factory, number: int) -> Eui64:
    """A board that passed with a secure element's own key."""
    dev_eui = factory.claim(factory.lot(), number)
    factory.write(dev_eui, 0)
    factory.ledger.mark_passed(dev_eui, 0, factory.runs[dev_eui], "unproven")
    return dev_eui


@pytest.mark.parametrize("name", ["tts-csv", "chirpstack", "aws"])
def test_formats_that_demand_keys_refuse_boards_with_secure_elements(
    factory: Factory, export: Callable[..., Answer], name: str
) -> None:
    """By name, with what to do; the file is not made and nothing is noted."""
    boards = [element(factory, number) for number in range(9)]
    export(f"--format={name}", f"--out={factory.root / 'a'}", "--plain", *(FORMATS | OTHERS)[name]).refused(
        1,
        f"{name} demands root keys, and those of 9 boards ({', '.join(map(str, boards[:8]))}, ...) lie in their secure "
        "elements, which give them to nobody; nothing was exported, choose csv, thingpark or tts-json",
    )
    assert not (factory.root / "a").exists()
    assert factory.state(boards[0]) == ("passed", None)


def test_boards_with_secure_elements_are_exported_without_keys(factory: Factory, export: Callable[..., Answer]) -> None:
    """No column is empty where a key would be, nothing warns of keys in the clear, a second time changes nothing."""
    boards = [element(factory, number) for number in (0, 1)]
    for out in ("a", "b"):
        told = export("--format=csv", f"--out={factory.root / out}", "--plain", "--json")
        assert told.err == ""
        assert told.document["exported_before"] == (2 if out == "b" else 0)
    found = rows((factory.root / "a").read_bytes())
    assert [(row["dev_eui"], row["generation"]) for row in found] == [(str(board), "0") for board in boards]
    assert list(found[0]) == ["dev_eui", "join_eui", "serial", "generation", "lorawan", "region", "label"]
    assert factory.state(boards[0]) == ("exported", 0)
    assert len(history(factory)) == 2
    assert told.document["re_keyed"] == []


def test_a_lot_with_both_kinds_of_keys_is_refused(factory: Factory, export: Callable[..., Answer]) -> None:
    """One file has one set of columns, and an empty key is a key of zeros to some who read it."""
    factory.produce(factory.lot(), 0)
    board = element(factory, 1)
    export("--format=csv", f"--out={factory.root / 'a'}", "--plain").refused(
        1, f"the keys of 1 board ({board}) lie in secure elements, and the other 1 of lot L1 have keys of the vault's"
    )


def test_a_lot_that_changed_its_lorawan_version_is_refused(factory: Factory, export: Callable[..., Answer]) -> None:
    """One root key on the board, two in the format: neither is invented."""
    dev_eui = factory.produce(factory.lot(), 0)
    factory.lot(lorawan="1.1")
    export("--format=csv", f"--out={factory.root / 'a'}", "--plain").refused(1, str(dev_eui), "1 root key", "wants 2")


# --- keys ---


def test_another_private_half_opens_nothing(factory: Factory, export: Callable[..., Answer]) -> None:
    """No file, and the sentence says whose it would have to be."""
    dev_eui = factory.produce(factory.lot(), 0)
    create_pair(factory.root / "other.pem", factory.root / "other.pub", None)
    out = factory.root / "a.csv"
    export("--format=csv", f"--out={out}", "--plain", private=factory.root / "other.pem").refused(1, str(dev_eui))
    assert not out.exists()


def test_a_key_that_is_not_the_ledgers_stops_everything(
    factory: Factory, export: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One wrong check value of three boards: no file, and nobody is exported."""
    lot = factory.lot()
    boards = [factory.produce(lot, number) for number in range(3)]
    documents = list(factory.ledger.documents("L1"))
    last = max(documents, key=lambda document: document.dev_eui)
    wrong = last.generations[0].model_copy(update={"kcv_app": 16 * "0"})
    forged = [one if one is not last else last.changed(generations=(wrong,)) for one in documents]
    monkeypatch.setattr("lorafab.stores.tiny_ledger.TinyLedger.replayed", lambda *_: forged)
    out = factory.root / "a.csv"
    export("--format=csv", f"--out={out}", "--plain").refused(1, last.dev_eui, "check value")
    assert not out.exists()
    assert {factory.state(one) for one in boards} == {("passed", None)}


def test_a_private_half_with_a_passphrase(factory: Factory, export: Callable[..., Answer]) -> None:
    """It comes from a file descriptor, never from the command line."""
    private = factory.root / "locked.pem"
    create_pair(private, factory.root / "locked.pub", b"correct horse")
    from lorafab.stores.vault import Vault

    factory.vault = Vault(factory.root / "locked.pub")
    factory.produce(factory.lot(), 0)
    for text, status in ((b"wrong\n", 1), (b"correct horse\n", 0)):
        reading, writing = os.pipe()
        os.write(writing, text)
        os.close(writing)
        told = export(
            "--format=csv",
            f"--out={factory.root / 'a.csv'}",
            "--plain",
            f"--passphrase-fd={reading}",
            private=private,
        )
        os.close(reading)
        assert told.status == status, told.err


# --- options ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format=csv", "--plain"), ("--out",)),
        (("--format=tts-csv", "--plain", "--out=x"), ("--frequency-plan",)),
        (("--format=chirpstack", "--plain", "--out=x"), ("--application and --device-profile",)),
        (("--format=csv", "--plain", "--out=x", "--frequency-plan=EU_868_1"), ("takes no --frequency-plan",)),
        (("--format=csv", "--out=x"), ("--recipient age1", "--plain")),
        (("--format=csv", "--out=x", "--plain", "--recipient=age1x"), ("one of the two",)),
        (("--format=csv", "--out=x", "--recipient=age1x"), ("--recipient is no recipient",)),
        (("--format=chirpstack-grpc", "--out=x", *CHIRPSTACK), ("--server and --token-file",)),
        (("--format=chirpstack-grpc", "--plain", "--server=x:1", "--token-file=t", *CHIRPSTACK), ("no --plain",)),
        (("--format=lorawan", "--out=x"), ("'lorawan'", "tts-csv")),
        (("--format=tts-csv", "--out=x", "--plain", "--frequency-plan=US_902_928_FSB_1"), ("EU868", "known plans")),
        (("--format=chirpstack", "--out=x", "--plain", "--application=me", f"--device-profile={PROFILE}"), ("'me'",)),
    ],
)
def test_wrong_options_are_told_before_anything_is_opened(
    factory: Factory, export: Callable[..., Answer], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Status 4, with what the format wants; nobody is asked for a passphrase, and no file is left."""
    factory.lot()
    before = sorted(factory.root.rglob("*"))
    export(*arguments, private=factory.root / "missing.pem").refused(4, *words)
    assert sorted(factory.root.rglob("*")) == before


def test_a_file_of_recipients(factory: Factory, export: Callable[..., Answer]) -> None:
    """Encrypts to all of them, and to those on the command line too."""
    factory.produce(factory.lot(), 0)
    one, two = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    file, out = factory.root / "acme.txt", factory.root / "a.age"
    file.write_text(f"# ACME\n{one.to_public()}\n")
    told = export(
        "--format=csv", f"--out={out}", f"--recipients-file={file}", f"--recipient={two.to_public()}", "--json"
    )
    assert told.document["recipients"] == 2
    assert pyrage.decrypt(out.read_bytes(), [one]) == pyrage.decrypt(out.read_bytes(), [two])


# --- between the file and the ledger ---

KILLED = """
import os, sys
from lorafab import cli
from lorafab.stores.ledger import BaseLedger
mark, done = BaseLedger.mark_exported, []
def killed(*arguments, **more):
    if len(done) == 2:
        os._exit(9)
    done.append(mark(*arguments, **more))
BaseLedger.mark_exported = killed
cli.main(sys.argv[1:])
"""


def test_a_kill_between_file_and_ledger_is_completed_by_a_repeat(
    factory: Factory, export: Callable[..., Answer]
) -> None:
    """Two of four boards were noted: the file is whole, and the next export has all four again."""
    lot = factory.lot()
    boards = [factory.produce(lot, number) for number in range(4)]
    first, second = factory.root / "a.csv", factory.root / "b.csv"
    arguments = ["export", "--lot=L1", "--format=csv", f"--private={factory.private}", f"--root={factory.root}"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments, "--operator=Ada", "--plain", f"--out={first}"], cwd=ROOT, check=False
    )
    assert killed.returncode == 9
    assert [factory.state(one) for one in boards] == 2 * [("exported", 1)] + 2 * [("passed", None)]
    assert export("--format=csv", f"--out={second}", "--plain").status == 0
    assert first.read_bytes() == second.read_bytes()
    assert [factory.state(one) for one in boards] == 4 * [("exported", 1)]


def test_a_board_that_changes_while_the_file_is_written_is_told(
    factory: Factory, export: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody quarantines it in that instant: status 1, the board is named, and the others are exported."""
    lot = factory.lot()
    boards = [factory.produce(lot, number) for number in range(3)]
    mark = BaseLedger.mark_exported

    def late(ledger: BaseLedger, dev_eui: Eui64, generation: int, **more: Any) -> object:
        if dev_eui == boards[1]:
            with suppress(LedgerError):
                ledger.move(dev_eui, "quarantined", reason="x", operator="Eve")
        return mark(ledger, dev_eui, generation, **more)

    monkeypatch.setattr(BaseLedger, "mark_exported", late)
    told = export("--format=csv", f"--out={factory.root / 'a.csv'}", "--plain", "--json")
    assert told.status == 1
    assert json.loads(told.out)["failed"].keys() == {str(boards[1])}
    assert f"1 of 3 boards are not noted as exported, the first, {boards[1]}, because" in told.err
    assert [factory.state(one)[0] for one in boards] == ["exported", "quarantined", "exported"]


# --- straight into ChirpStack ---


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return f"--token-file={path}"


def test_a_lot_goes_straight_into_chirpstack(
    factory: Factory, export: Callable[..., Answer], token: str, tmp_path: Path
) -> None:
    """Over a bad network, then re-keyed and repeated: the server holds exactly the boards, with their newest keys."""
    lot = factory.lot()
    boards = [factory.produce(lot, number) for number in range(4)]
    faults = [
        {"method": method, "do": fault, "times": 1}
        for method in ("Create", "CreateKeys")
        for fault in ("unavailable", "drop", "lost")
    ]
    with running(tmp_path, faults=faults) as server:
        arguments = ("--format=chirpstack-grpc", f"--server={server.address}", "--insecure", token, *CHIRPSTACK)
        told = export(*arguments, "--json").document
        assert told["boards"] == 4
        assert sum(told["keys"].values()) == 4
        factory.rekey(lot, 2)
        told = export(*arguments, "--json").document
        assert (told["re_keyed"], told["keys"]) == ([str(boards[2])], {"unchanged": 3, "updated": 1})
        state = server.state()
    assert state["keys"] == {
        str(one).lower(): {
            "nwk_key": factory.key(one, generation=2 if one == boards[2] else 1).lower(),
            "app_key": ZEROS,
            "gen_app_key": ZEROS,
        }
        for one in boards
    }
    assert state["devices"].keys() == state["keys"].keys()
    assert {factory.state(one) for one in boards} == {("exported", 1), ("exported", 2)}
    assert all(f"to {server.address}, application {APPLICATION}" in entry.reason for entry in history(factory))


def test_what_got_through_is_exported_and_a_repeat_completes_the_rest(
    factory: Factory, export: Callable[..., Answer], token: str, tmp_path: Path
) -> None:
    """Somebody else's device is passed over; a full tenant stops; each board left is named."""
    lot = factory.lot()
    boards = [factory.produce(lot, number) for number in range(4)]
    theirs = {"name": "x", "application_id": 8 * "0", "device_profile_id": "", "join_eui": "", "tags": {}, "tenant": 1}
    grpc = ("--format=chirpstack-grpc", "--insecure", token, *CHIRPSTACK)
    with running(tmp_path, devices={str(boards[0]).lower(): theirs}, limit=3) as server:
        told = export(*grpc, f"--server={server.address}", "--json")
    assert told.status == 1
    document = json.loads(told.out)
    assert document["boards"] == 2
    assert list(document["failed"]) == [str(boards[0]), str(boards[3])]
    assert "in application 00000000" in document["failed"][str(boards[0])]
    assert "limit of devices" in document["failed"][str(boards[3])]
    assert [factory.state(one)[0] for one in boards] == ["passed", "exported", "exported", "passed"]
    with running(tmp_path) as server:
        assert export(*grpc, f"--server={server.address}", "--json").document["boards"] == 4
    assert {factory.state(one) for one in boards} == {("exported", 1)}


def test_a_server_is_not_even_asked_about_boards_without_keys(
    factory: Factory, export: Callable[..., Answer], token: str, tmp_path: Path
) -> None:
    """Refused by name before the first call: a device without keys would be made, and never join."""
    board = element(factory, 0)
    with running(tmp_path) as server:
        arguments = ("--format=chirpstack-grpc", f"--server={server.address}", "--insecure", token, *CHIRPSTACK)
        export(*arguments).refused(1, f"chirpstack-grpc demands root keys, and those of 1 board ({board}) lie in")
        assert server.state()["calls"] == []
    assert factory.state(board) == ("passed", None)


def test_a_server_that_refuses_the_token_gets_one_call(
    factory: Factory, export: Callable[..., Answer], tmp_path: Path
) -> None:
    """The first board's refusal would be everybody's: the rest is not sent."""
    lot = factory.lot()
    boards = [factory.produce(lot, number) for number in range(3)]
    (tmp_path / "wrong").write_text("another")
    with running(tmp_path) as server:
        told = export(
            *("--format=chirpstack-grpc", f"--server={server.address}", "--insecure", *CHIRPSTACK, "--json"),
            f"--token-file={tmp_path / 'wrong'}",
        )
        assert server.state()["calls"] == ["Create"] or server.state()["calls"] == []
    assert told.status == 1
    failed = json.loads(told.out)["failed"]
    assert "UNAUTHENTICATED" in failed[str(boards[0])]
    assert failed[str(boards[1])] == failed[str(boards[2])] == "not sent"
    assert {factory.state(one) for one in boards} == {("passed", None)}
