"""lorafab.cli.vault and lorafab.cli.private_key: pairs, passphrases, and who can open the ledger's keys."""

import getpass
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.drivers.clock import SystemClock
from lorafab.interfaces import ClaimRequest
from lorafab.stores.keyring import create_pair, load_private
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault, key_id, load_public
from tests_unit.cli.answer import Answer, Command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def on(lorafab: Command, tmp_path: Path) -> Command:
    """`lorafab ... --json` on a data folder of the test's own."""
    return lambda *arguments: lorafab(*arguments, "--json", f"--root={tmp_path}")


@pytest.fixture
def ledger(tmp_path: Path) -> TinyLedger:
    """A ledger in that data folder."""
    return TinyLedger.create(tmp_path / "data", SystemClock())


# --- vault init ---


def test_ctrl_c_at_the_passphrase_is_one_sentence(
    lorafab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, and nothing was made."""

    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(getpass, "getpass", interrupted)
    told = lorafab("vault", "init", f"--private={tmp_path / 'a.pem'}", f"--root={tmp_path}")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("lorafab: a person stopped the command")
    assert len(told.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_pair_is_made_once_and_never_overwritten(lorafab: Command, tmp_path: Path) -> None:
    """Neither half: keys may be sealed to it."""
    private, public = tmp_path / "safe" / "private.pem", tmp_path / "stations" / "vault.pub"
    for folder in (private.parent, public.parent):
        folder.mkdir()
    make = ("vault", "init", f"--private={private}", f"--root={tmp_path}", "--no-passphrase")
    answer = lorafab(*make)
    assert answer.status == 0, answer.err
    halves = private.read_bytes(), public.read_bytes()
    assert private.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in halves[1]
    assert "PRIVATE" not in answer.out
    lorafab(*make).refused(1, "private.pem exists")
    lorafab(*make, f"--private={tmp_path / 'other.pem'}").refused(1, "vault.pub exists")
    lorafab(*make, f"--public={tmp_path / 'other.pub'}").refused(1, "private.pem exists")
    assert (private.read_bytes(), public.read_bytes()) == halves
    assert not (tmp_path / "other.pem").exists()
    assert not (tmp_path / "other.pub").exists()


def test_a_passphrase_is_asked_twice_and_protects_the_private_half(
    lorafab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens with it, and with nothing else."""
    monkeypatch.setattr("getpass.getpass", lambda prompt: "correct horse")
    private = tmp_path / "private.pem"
    answer = lorafab("vault", "init", f"--private={private}", f"--public={tmp_path / 'vault.pub'}")
    assert answer.status == 0, answer.err
    assert b"ENCRYPTED" in private.read_bytes()
    assert load_private(private, b"correct horse")
    assert "correct horse" not in answer.out + answer.err


@pytest.mark.parametrize("typed", [("one", "two"), ("", "")])
def test_passphrases_that_differ_or_are_empty_make_nothing(
    lorafab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, str]
) -> None:
    """Status 4: nothing was started."""
    answers = iter(typed)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    files = (f"--private={tmp_path / 'private.pem'}", f"--public={tmp_path / 'vault.pub'}")
    lorafab("vault", "init", *files).refused(4, "differ or are empty")
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_a_passphrase_cannot_be_asked(
    lorafab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not taken from a pipe in silence."""

    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    lorafab("vault", "init", f"--private={tmp_path / 'p'}", f"--public={tmp_path / 'q'}").refused(4, "no terminal")


def test_a_pipe_is_no_terminal(lorafab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """getpass would read it and show what is typed; nothing is made."""

    def shown(prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=1)
        return "correct horse"

    monkeypatch.setattr("getpass.getpass", shown)
    answer = lorafab("vault", "init", f"--private={tmp_path / 'p'}", f"--public={tmp_path / 'q'}")
    answer.refused(4, "no terminal", "--passphrase-fd")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def descriptor(content: bytes) -> Iterator[int]:
    """A file descriptor that holds this, as `3<FILE` opens one."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


@pytest.mark.parametrize("content", [b"correct horse\n", b"correct horse\r\nmore", b"correct horse"])
def test_a_passphrase_comes_from_a_file_descriptor(lorafab: Command, tmp_path: Path, content: bytes) -> None:
    """Its first line, and it is never on the command line."""
    private = tmp_path / "private.pem"
    with descriptor(content) as number:
        answer = lorafab(
            "vault", "init", f"--private={private}", f"--public={tmp_path / 'q'}", f"--passphrase-fd={number}"
        )
    assert answer.status == 0, answer.err
    assert load_private(private, b"correct horse")
    assert "correct" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "has 0 bytes"), (b"\n", "has 0 bytes"), (b"x" * 1024, "too many")]
)
def test_a_descriptor_without_a_passphrase_is_status_4(
    lorafab: Command, tmp_path: Path, content: bytes, words: str
) -> None:
    """Nothing was started."""
    files = (f"--private={tmp_path / 'p'}", f"--public={tmp_path / 'q'}")
    with descriptor(content) as number:
        lorafab("vault", "init", *files, f"--passphrase-fd={number}").refused(4, words, "wanted 1 to 1023")
    lorafab("vault", "init", *files, "--passphrase-fd=987").refused(4, "descriptor 987 cannot be read", "3<FILE")
    lorafab("vault", "init", *files, "--passphrase-fd=-1").refused(4, "descriptor -1 cannot be read")
    lorafab("vault", "init", *files, "--passphrase-fd=9", "--no-passphrase").refused(4, "not allowed with")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Path]:
    """Private halves of the back office (with a passphrase) and of the next one (without); .pub is beside them."""
    made = {}
    for name, passphrase in (("office", b"correct horse"), ("next", None)):
        made[name] = tmp_path / f"{name}.pem"
        create_pair(made[name], made[name].with_suffix(".pub"), passphrase)
    return made


@pytest.fixture
def sealed(ledger: TinyLedger, pairs: dict[str, Path]) -> list[Secret]:
    """Keys of two boards of a ledger: generation 1 sealed to somebody else, generation 2 to the back office."""
    create_pair(pairs["office"].with_name("else.pem"), pairs["office"].with_name("else.pub"), None)
    keys = []
    for number in range(2):
        dev_eui = Eui64(0x024C464200000001 + number)
        ledger.claim(
            ClaimRequest(dev_eui, Eui64(1), f"S{number}", f"LW:{number}", f"{number:024X}", "demo", "run", "A", "Eve")
        )
        for generation, owner in enumerate(("else", "office"), 1):
            key, box = Vault(pairs["office"].with_name(f"{owner}.pub")).new_key(dev_eui, generation, "appkey")
            ledger.add_key(dev_eui, generation, [box], "run")
            keys.append(key)
    return keys


def rotated(on: Command, pairs: dict[str, Path], *more: str) -> Answer:
    """Hand the keys on to the next back office."""
    with descriptor(b"correct horse\n") as number:
        return on(
            "vault", "rotate", f"--private={pairs['office']}", f"--passphrase-fd={number}",
            f"--to={pairs['next'].with_suffix('.pub')}", "--reason=new office", "--operator=Eve", *more,
        )  # fmt: skip


def test_vault_show_counts_who_opens_what(
    on: Command, pairs: dict[str, Path], sealed: list[Secret], tmp_path: Path
) -> None:
    """And names the keys that one private half alone opens."""
    document = on("vault", "show").document
    assert document["keys"] == 4
    assert document["opens"][key_id(load_public(pairs["office"].with_suffix(".pub")))] == 2
    assert "appkey of DevEUI 024C464200000001, generation 2" in document["without_escrow"]
    named = on("vault", "show", f"--escrow={pairs['next'].with_suffix('.pub')}").document
    assert len(named["without_escrow"]) == 4
    shutil.copytree(ROOT / "stations", tmp_path / "stations")
    assert on("vault", "show", "--lot=demo").document == document
    assert on("vault", "show", "--lot=demo-chip").document["keys"] == 0
    on("vault", "show", "--lot=other").refused(4, "there is no lot other")  # or all its keys would be in order


def test_vault_check_opens_every_key_and_names_what_does_not_open(
    on: Command, pairs: dict[str, Path], sealed: list[Secret]
) -> None:
    """Generation 1 of each is a box of another owner here: status 1, the counts are printed all the same."""
    with descriptor(b"correct horse\n") as number:
        answer = on("vault", "check", f"--private={pairs['office']}", f"--passphrase-fd={number}")
    assert answer.status == 1
    document = json.loads(answer.out)
    assert (document["opened"], len(document["problems"])) == (2, 2)
    assert "2 keys do not open, the first: the appkey of DevEUI 024C464200000001, generation 1," in answer.err
    assert not any(key.reveal().hex() in (answer.out + answer.err).lower() for key in sealed)


def test_vault_rotate_hands_keys_on(on: Command, pairs: dict[str, Path], sealed: list[Secret]) -> None:
    """The next private half opens what the old one opened; a second call has nothing to do."""
    first, again = rotated(on, pairs), rotated(on, pairs)
    assert (first.status, again.status) == (1, 1), "generation 1 is not ours to hand on"
    assert (json.loads(first.out)["boxes_added"], json.loads(first.out)["had_one"]) == (2, 0)
    assert (json.loads(again.out)["boxes_added"], json.loads(again.out)["had_one"]) == (0, 2)
    assert json.loads(on("vault", "check", f"--private={pairs['next']}").out)["opened"] == 2
    assert not any(key.reveal().hex() in (first.out + first.err).lower() for key in sealed)


def test_a_wrong_passphrase_opens_nothing(on: Command, pairs: dict[str, Path], ledger: TinyLedger) -> None:
    """One sentence that repeats no passphrase."""
    with descriptor(b"battery staple\n") as number:
        answer = on("vault", "check", f"--private={pairs['office']}", f"--passphrase-fd={number}")
    answer.refused(1, "the passphrase does not open", "try once more")
    assert "battery" not in answer.err


def test_a_private_half_with_a_passphrase_asks_for_it_and_one_without_does_not(
    on: Command, pairs: dict[str, Path], ledger: TinyLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the terminal, where no descriptor is named."""
    asked: list[str] = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return "correct horse"

    monkeypatch.setattr("getpass.getpass", typed)
    assert on("vault", "check", f"--private={pairs['next']}").document == {"opened": 0, "problems": []}
    assert asked == []
    assert on("vault", "check", f"--private={pairs['office']}").document == {"opened": 0, "problems": []}
    assert len(asked) == 1


def test_a_private_half_that_others_can_read_is_said(on: Command, pairs: dict[str, Path], ledger: TinyLedger) -> None:
    """On stderr, with what to do; the work is done all the same."""
    pairs["next"].chmod(0o644)
    answer = on("vault", "check", f"--private={pairs['next']}")
    assert answer.status == 0
    assert json.loads(answer.out) == {"opened": 0, "problems": []}
    assert "can be read by others (mode 644, wanted 600); run `chmod 600`" in answer.err


# --- station check ---


def test_station_check_says_where_one_loss_takes_all_keys(lorafab: Command, tmp_path: Path) -> None:
    """No mirror and no escrow: notices, and no refusal; the demo vault is for playing and has none."""
    for folder in ("stations", "firmware/endnode-wle5"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src", "hal"))
    check = ("station", "check", "A", "--json", f"--root={tmp_path}")
    lorafab(*check).refused(4, "vault.pub does not exist", "`lorafab vault init`")
    create_pair(tmp_path / "p.pem", tmp_path / "stations" / "vault.pub", None)
    mirror, escrow = lorafab(*check).document["notices"]
    assert "no mirror" in mirror
    assert "no escrow" in escrow
    assert lorafab("station", "check", "sim", "--json", f"--root={tmp_path}").document["notices"] == []


def test_a_command_that_opens_keys_guards_the_logs(
    on: Command, pairs: dict[str, Path], ledger: TinyLedger, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Libraries that get them may log them."""
    monkeypatch.setattr(logging, "_logRecordFactory", logging.LogRecord)
    key = Secret(bytes(range(0x30, 0x40)))
    logging.getLogger("x").warning("before: %s", key.reveal().hex())
    on("vault", "check", f"--private={pairs['next']}")
    logging.getLogger("x").warning("after: %s", key.reveal().hex())
    before, after = caplog.messages
    assert key.reveal().hex() in before
    assert "withheld" in after
