"""`lorafab ledger move`: the whole ledger arrives, once, and nobody claims in both."""

import json
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lorafab.cli import main
from lorafab.cli.ledger_move import move
from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.interfaces import ClaimRequest, SealedBox, SealedKey
from lorafab.stores.postgres_ledger import PostgresLedger
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import FakeClock
from tests_unit.postgres_server import PostgresServer

CLOCK = FakeClock()


class Killed(BaseException):
    """What SIGKILL looks like from inside: nothing after it is done."""


def board(n: int, run: str = "r1") -> ClaimRequest:
    dev_eui = Eui64(0x70B3D5499A000000 + n)
    return ClaimRequest(dev_eui, Eui64(1), f"S{n}", f"LW:D0:{n}", f"CHIP{n}", "demo", run, "A", "Eve")


@pytest.fixture
def dsn(postgres: PostgresServer) -> str:
    return postgres.database()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose ledger has boards in several states, two keys and a lot."""
    ledger = TinyLedger.create(tmp_path, CLOCK)
    for n in range(1, 6):
        ledger.claim(board(n))
    for n, kcv in ((1, "00000000000000AA"), (2, "00000000000000BB")):
        ledger.add_key(board(n).dev_eui, 1, [SealedKey("appkey", kcv, (SealedBox("0123456789abcdef", "Ym94"),))], "r1")
    ledger.mark_written(board(1).dev_eui, 1, "r1")
    ledger.mark_passed(board(1).dev_eui, 1, "r1")
    ledger.move(board(3).dev_eui, "scrapped", reason="burnt", operator="Eve")
    ledger.note_printed("demo", 9, reason="sheet", operator="Eve")
    return tmp_path


def everything(ledger: TinyLedger | PostgresLedger) -> tuple[object, ...]:
    """Id, head, history, boards, lot."""
    boards = sorted(ledger.documents(), key=lambda document: document.dev_eui)
    return ledger.ledger_id, ledger.head(), list(ledger.entries()), boards, ledger.lot("demo")


def test_everything_arrives(data: Path, dsn: str) -> None:
    """Same id, same hashes, same boards and lots; the history goes on where it was."""
    before = everything(TinyLedger.open(data, CLOCK, read_only=True))
    result = move(data, dsn, CLOCK)
    ledger = PostgresLedger.open(dsn, CLOCK)
    assert everything(ledger) == before
    assert (result["ledger"], result["head"], result["boards"]) == (*before[:2], 5)
    assert ledger.check() == []
    assert ledger.claim(board(1, "r2")).attempts == 2
    with pytest.raises(LedgerError, match="equal key"):
        ledger.add_key(
            board(5).dev_eui,
            1,
            [SealedKey("appkey", "00000000000000AA", (SealedBox("0123456789abcdef", "Ym94"),))],
            "r",
        )
    assert ledger.check() == []


def test_an_empty_ledger_moves_too(tmp_path: Path, dsn: str) -> None:
    """Its id is what its lots name."""
    wanted = TinyLedger.create(tmp_path, CLOCK).ledger_id
    move(tmp_path, dsn, CLOCK)
    ledger = PostgresLedger.open(dsn, CLOCK)
    assert ledger.ledger_id == wanted
    assert ledger.claim(board(1)).attempts == 1
    assert ledger.check() == []


def test_the_files_are_closed_for_ever(data: Path, dsn: str) -> None:
    """Whoever opens them, or had them open, is told where the ledger went; the files stay as evidence."""
    had_it_open = TinyLedger.open(data, CLOCK)
    history = (data / "ledger" / "history.jsonl").read_bytes()
    place = str(move(data, dsn, CLOCK)["place"])
    for use in (
        lambda: had_it_open.claim(board(9)),
        lambda: TinyLedger.open(data, CLOCK),
        lambda: TinyLedger.open(data, CLOCK, read_only=True),
        lambda: TinyLedger.open_or_create(data, CLOCK),
        lambda: TinyLedger.rebuild(data, CLOCK),
    ):
        with pytest.raises(LedgerError, match="was moved to PostgreSQL") as caught:
            use()
        assert place in str(caught.value)
    with pytest.raises(LedgerError, match="already holds a ledger"):
        TinyLedger.create(data, CLOCK)
    assert (data / "ledger" / "history.jsonl").read_bytes() == history


def test_moving_again_changes_nothing(data: Path, dsn: str) -> None:
    """The second call says what the first one said, also when boards were made since."""
    move(data, dsn, CLOCK)
    PostgresLedger.open(dsn, CLOCK).claim(board(7))
    again = move(data, dsn, CLOCK)
    assert again["boards"] == 6
    assert PostgresLedger.open(dsn, CLOCK).check() == []


KILLS = [
    "lorafab.stores.postgres_move._copy",
    "lorafab.stores.postgres_ledger.PostgresLedger.check",
    "lorafab.stores.tiny_ledger.TinyLedger.seal",
    "lorafab.stores.postgres_move.finish",
]


@pytest.mark.parametrize("instant", KILLS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_move_that_was_killed_is_completed_by_the_next(
    data: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, instant: str, after: bool
) -> None:
    """At each step, before and after it; in between nobody can use the copy, and the files are whole or closed."""
    before = everything(TinyLedger.open(data, CLOCK, read_only=True))
    owner, _, name = instant.rpartition(".")
    with monkeypatch.context() as patch:
        patch.setattr(instant, _killing(_look_up(owner, name), after))
        with pytest.raises(Killed):
            move(data, dsn, CLOCK)
    finished = name == "finish" and after
    if not finished:
        with pytest.raises(LedgerError, match=r"not finished|no ledger"):
            PostgresLedger.open(dsn, CLOCK)
    if TinyLedger.moved(data)[1] is None:
        TinyLedger.open(data, CLOCK).claim(board(8))  # somebody goes on with what is there
        before = everything(TinyLedger.open(data, CLOCK, read_only=True))
    move(data, dsn, CLOCK)
    ledger = PostgresLedger.open(dsn, CLOCK)
    assert everything(ledger) == before
    assert ledger.check() == []


def _look_up(owner: str, name: str) -> Callable[..., object]:
    found: Callable[..., object] = getattr(pkgutil.resolve_name(owner), name)
    return found


def _killing(step: Callable[..., object], after: bool) -> Callable[..., object]:
    def killed(*arguments: object) -> object:
        if after:
            step(*arguments)
        raise Killed

    return killed


def test_a_damaged_ledger_is_not_moved(data: Path, dsn: str) -> None:
    """It is closed for nobody, and nothing is made in the database."""
    history = data / "ledger" / "history.jsonl"
    history.write_bytes(history.read_bytes().replace(b'"operator":"Eve"', b'"operator":"Eva"', 1))
    with pytest.raises(LedgerError, match="its hash is wrong"):
        move(data, dsn, CLOCK)
    with pytest.raises(LedgerError, match="there is no ledger"):
        PostgresLedger.open(dsn, CLOCK)
    assert TinyLedger.moved(data)[1] is None


@pytest.mark.parametrize("state", ["another", "the same one, in use"])
def test_a_ledger_in_use_is_never_replaced(data: Path, dsn: str, tmp_path: Path, state: str) -> None:
    """Neither another one nor an older copy of this one."""
    if state == "another":
        PostgresLedger.create(dsn, CLOCK).claim(board(1))
    else:
        about = (data / "ledger" / "ledger.json").read_bytes()
        move(data, dsn, CLOCK)
        (data / "ledger" / "ledger.json").write_bytes(about)  # from the backup
    before = everything(PostgresLedger.open(dsn, CLOCK))
    with pytest.raises(LedgerError, match=r"holds ledger [0-9a-f]{32} already \(ready, .*move into an empty database"):
        move(data, dsn, CLOCK)
    assert everything(PostgresLedger.open(dsn, CLOCK)) == before
    assert TinyLedger.moved(data)[1] is None


def test_a_moved_ledger_is_not_found_in_another_database(data: Path, dsn: str, postgres: PostgresServer) -> None:
    """The sentence says where it went."""
    move(data, dsn, CLOCK)
    other = postgres.database()
    PostgresLedger.create(other, CLOCK)
    with pytest.raises(LedgerError, match=r"was moved to database .* holds another one"):
        move(data, other, CLOCK)


def test_the_command_moves_and_says_so(
    data: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Init, move, show and check, all with the connection string in the environment."""
    monkeypatch.setenv("LINE_DSN", dsn)
    assert main(["ledger", "move", "--data", str(data), "--to-dsn-env", "LINE_DSN", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"] == 5
    assert main(["ledger", "check", "--dsn-env", "LINE_DSN", "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert main(["ledger", "show", str(board(2).dev_eui), "--dsn-env", "LINE_DSN"]) == 0
    assert "CHIP2" in capsys.readouterr().out
    assert main(["ledger", "list", "--data", str(data)]) == 1
    assert "was moved to PostgreSQL" in capsys.readouterr().err


def test_a_ledger_is_started_in_postgresql(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`lorafab ledger init --dsn-env`; an empty variable is a usage error that names it."""
    monkeypatch.setenv("LINE_DSN", dsn)
    assert main(["ledger", "init", "--dsn-env", "LINE_DSN", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledger"] == PostgresLedger.open(dsn, CLOCK).ledger_id
    monkeypatch.delenv("LINE_DSN")
    assert main(["ledger", "init", "--dsn-env", "LINE_DSN"]) == 4
    assert "LINE_DSN is empty" in capsys.readouterr().err
