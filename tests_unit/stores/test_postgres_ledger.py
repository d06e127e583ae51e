"""What only the PostgreSQL ledger promises; what every ledger promises is in test_ledger.py."""

import hashlib
import json
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorafab.errors import BoundElsewhere, LedgerError
from lorafab.interfaces import ClaimRequest, Clock, SealedKey
from lorafab.stores import postgres_ledger, postgres_server
from lorafab.stores.history import Entry, make_entry
from lorafab.stores.ledger import Document
from lorafab.stores.postgres_ledger import PostgresLedger
from lorafab.stores.postgres_server import Server
from tests_unit.fakes import FakeClock
from tests_unit.postgres_server import PostgresServer
from tests_unit.stores.postgres import Cut, Wire

Ask = Callable[..., ClaimRequest]
Key = Callable[..., SealedKey]

# What docs/postgresql.md gives to stations.
STATION_RIGHTS = (
    "CREATE ROLE station LOGIN",
    "GRANT USAGE ON SCHEMA lorafab TO station",
    "GRANT SELECT ON ALL TABLES IN SCHEMA lorafab TO station",
    "GRANT INSERT ON lorafab.history, lorafab.claims, lorafab.kcvs, lorafab.lots TO station",
    "GRANT UPDATE ON lorafab.head, lorafab.claims, lorafab.lots TO station",
)


@pytest.fixture
def dsn(postgres: PostgresServer) -> str:
    """An empty database."""
    return postgres.database()


@pytest.fixture
def ledger(dsn: str, clock: Clock) -> Iterator[PostgresLedger]:
    made = PostgresLedger.create(dsn, clock)
    yield made
    made.close()


@pytest.fixture
def line(postgres: PostgresServer) -> Iterator[Callable[[Cut], Wire]]:
    """Makes lines that are cut at a COMMIT."""
    made: list[Wire] = []

    def build(cut: Cut) -> Wire:
        made.append(Wire(postgres, cut))
        return made[-1]

    yield build
    for wire in made:
        wire.close()


def run_sql(dsn: str, *statements: str) -> list[tuple[object, ...]]:
    """As the database's owner; returns the rows of the last statement."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def events(ledger: PostgresLedger) -> list[str]:
    return [entry.event if isinstance(entry, Entry) else entry for entry in ledger.entries()]


# Making and opening


def test_a_database_without_a_ledger_is_not_given_one_silently(dsn: str, clock: Clock) -> None:
    """The sentence says how to start one, and nothing is made."""
    with pytest.raises(
        LedgerError, match=r"there is no ledger in database .* `lorafab ledger init --dsn-env VARIABLE`"
    ):
        PostgresLedger.open(dsn, clock)
    assert run_sql(dsn, "SELECT 1 FROM information_schema.schemata WHERE schema_name = 'lorafab'") == []


def test_a_second_ledger_in_one_database_is_refused(ledger: PostgresLedger, dsn: str, clock: Clock) -> None:
    """The first one stays, with its id."""
    with pytest.raises(LedgerError, match="already holds a ledger"):
        PostgresLedger.create(dsn, clock)
    assert PostgresLedger.open(dsn, clock).ledger_id == ledger.ledger_id


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE lorafab.about SET schema_version = 2", "schema version 2, wanted 1; use the lorafab that made it"),
        ("DELETE FROM lorafab.about", "schema version -, wanted 1"),
        ("UPDATE lorafab.about SET state = 'moving'", "a copy that is not finished; call `lorafab ledger move` again"),
    ],
)
def test_a_ledger_that_this_lorafab_cannot_work_with_is_named(
    ledger: PostgresLedger, dsn: str, clock: Clock, change: str, sentence: str
) -> None:
    """Another version, a lost description, an unfinished move: nobody claims in it."""
    run_sql(dsn, change)
    with pytest.raises(LedgerError, match=sentence):
        PostgresLedger.open(dsn, clock)


def test_without_psycopg_the_sentence_says_what_to_install() -> None:
    """A station without the extra gets no traceback."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from lorafab.errors import LedgerError\n"
        "try:\n    import lorafab.stores.postgres_ledger\n"
        "except LedgerError as error:\n    print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'lorafab[postgresql]'" in shown


def test_a_database_that_would_lose_something_is_refused(postgres: PostgresServer, clock: Clock) -> None:
    """Another encoding than UTF-8 loses labels."""
    postgres.execute("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(LedgerError, match=r"encoding LATIN1 .* wanted UTF8"):
        PostgresLedger.create(postgres.dsn("latin"), clock)


@pytest.mark.slow
def test_a_server_that_does_not_sync_is_refused(postgres: PostgresServer, dsn: str, clock: Clock) -> None:
    """What it acknowledges would not survive a power cut."""
    postgres.restart(fsync="off")
    try:
        with pytest.raises(LedgerError, match="fsync off, wanted UTF8 and on"):
            PostgresLedger.create(dsn, clock)
    finally:
        postgres.restart()


def test_a_commit_is_on_disk_whatever_the_connection_string_says(
    ledger: PostgresLedger, dsn: str, clock: Clock
) -> None:
    """synchronous_commit is on in the ledger's own sessions."""
    lazy = PostgresLedger.open(f"{dsn}?options=-csynchronous_commit%3Doff", clock)
    assert lazy._query("SHOW synchronous_commit", ()) == [("on",)]


# Passwords, and servers that are not there


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://eve:geheim@127.0.0.1:1/line",
        "postgresql://eve:geheim@nowhere.invalid/line",
        "postgresql://eve:ge@heim-geheim@127.0.0.1/line",
        "postgresql://eve:12/geheim@127.0.0.1/line",
        "postgresql://eve:geheim:geheim@127.0.0.1:x/line",
        "postgresql://eve:geheim@127.0.0.1:1/line?geheim=1",
        "host=127.0.0.1 port=1 password geheim",
        "host=127.0.0.1 port=1 password='geheim",
        "host=127.0.0.1 port=geheim password=x",
        "geheim",
        "postgresql://eve:geheim@127.0.0.1:1/line?sslmode=geheim",
    ],
)
def test_a_password_is_in_no_message(dsn: str, clock: Clock) -> None:
    """Neither in the sentence nor in the traceback, also where it was typed into the wrong place."""
    with pytest.raises(LedgerError, match="connection string") as caught:
        PostgresLedger.open(dsn, clock)
    shown = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__cause__)
    assert "geheim" not in shown
    assert "heim" not in shown


@example("%90")  # no UTF-8
@given(st.text(alphabet="qzQx019@/:?#%[]&= ',;", min_size=1, max_size=30))
def test_no_password_spills_into_what_is_shown(password: str) -> None:
    """However badly it is escaped: either nothing of it is in the server's name, or the string is refused."""
    for dsn in (f"postgresql://eve:{password}@127.0.0.1:1/line", f"host=127.0.0.1 dbname=line password={password}"):
        try:
            shown = Server(dsn).place
        except LedgerError as refused:
            shown = "".join(traceback.format_exception(refused)).rpartition("LedgerError")[2]
        assert not re.search("[qzQx]{2}", shown)


def test_a_server_that_is_not_there_is_a_sentence(clock: Clock) -> None:
    """Which one, why, and what to do."""
    with pytest.raises(LedgerError, match=r"database line on 127\.0\.0\.1:1, cannot be reached \(.*refused.*\); check"):
        PostgresLedger.open("postgresql://eve@127.0.0.1:1/line", clock)


@pytest.mark.slow
def test_a_server_that_says_nothing_is_a_sentence_too(clock: Clock) -> None:
    """It accepts the connection and never answers: given up after some seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(LedgerError, match=r"cannot be reached \(.*timeout"):
            PostgresLedger.open(f"postgresql://eve@127.0.0.1:{port}/line", clock)


def test_a_database_for_reading_takes_no_change(ledger: PostgresLedger, dsn: str, clock: Clock, ask: Ask) -> None:
    """Questions are answered, and the sentence of a change says what is wrong."""
    ledger.claim(ask(1))
    reader = PostgresLedger.open(f"{dsn}?options=-cdefault_transaction_read_only%3Don", clock)
    assert reader.is_used(ask(1).dev_eui)
    with pytest.raises(LedgerError, match=r"is for reading only .* connect to the server that takes changes"):
        reader.claim(ask(2))


@pytest.mark.slow
def test_a_hot_standby_takes_no_change(postgres: PostgresServer, dsn: str, clock: Clock, ask: Ask) -> None:
    """The copy that takes over when the server is lost answers questions meanwhile, and nothing more."""
    PostgresLedger.create(dsn, clock).claim(ask(1))
    postgres.stop()
    standby = PostgresServer(copy_of=postgres)
    try:
        postgres.start()
        (standby.data / "standby.signal").touch()
        standby.start()
        copy = PostgresLedger.open(dsn.replace(f":{postgres.port}/", f":{standby.port}/"), clock)
        assert copy.is_used(ask(1).dev_eui)
        assert copy.check() == []
        with pytest.raises(LedgerError, match="is for reading only"):
            copy.claim(ask(2))
    finally:
        standby.remove()


def test_a_station_needs_no_right_to_delete(
    ledger: PostgresLedger, dsn: str, clock: Clock, ask: Ask, key: Key, postgres: PostgresServer
) -> None:
    """With the rights of docs/postgresql.md it does its whole work and cannot rewrite the history."""
    run_sql(dsn, *STATION_RIGHTS)
    theirs = dsn.replace("postgres@", "station@")
    try:
        station = PostgresLedger.open(theirs, clock)
        station.claim(ask(1))
        station.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
        station.note_printed("demo", 5, reason="sheet", operator="Eve")
        station.note_printed("demo", 9, reason="sheet", operator="Eve")
        assert station.check() == []
        for act in (
            "DELETE FROM lorafab.history",
            "UPDATE lorafab.history SET entry = ''",
            "DELETE FROM lorafab.claims",
            "UPDATE lorafab.about SET ledger_id = ''",
            "TRUNCATE lorafab.kcvs",
            "DROP SCHEMA lorafab CASCADE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run_sql(theirs, act)
        station.close()
    finally:
        run_sql(dsn, "DROP OWNED BY station", "DROP ROLE station")


# Several stations


def test_stations_that_claim_at_once_wait_for_each_other(dsn: str, clock: Clock, ask: Ask) -> None:
    """Every claim is kept, the history has no gap and no fork, and one of those who want the same chip gets it."""
    PostgresLedger.create(dsn, clock).close()

    def station(number: int) -> int:
        ledger, refused = PostgresLedger.open(dsn, clock), 0
        for n in range(10):
            ledger.claim(ask(number * 100 + n, run=f"r{number}-{n}"))
            try:
                ledger.claim(ask(number * 100 + n + 50, run=f"r{number}-{n}", chip_id=f"CHIP{n}"))
            except BoundElsewhere:
                refused += 1
        ledger.close()
        return refused

    with ThreadPoolExecutor(4) as pool:
        refused = sum(pool.map(station, range(1, 5)))
    ledger = PostgresLedger.open(dsn, clock)
    assert refused == 30
    assert len(list(ledger.documents())) == 50
    assert events(ledger) == ["claim"] * 50
    assert ledger.check() == []


def test_a_station_that_hangs_in_a_change_does_not_stop_the_others_for_ever(
    ledger: PostgresLedger, dsn: str, clock: Clock, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait ends with a sentence; when the other one has ended, the next call goes through."""
    monkeypatch.setattr(postgres_server, "_SESSION", postgres_server._SESSION.replace("15s", "300ms"))
    waiting = PostgresLedger.open(dsn, clock)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT 1 FROM lorafab.head FOR UPDATE")
        with pytest.raises(LedgerError, match=r"did not answer in 15 s .*so nothing was changed"):
            waiting.claim(ask(1))
    assert waiting.claim(ask(1)).attempts == 1


def test_others_that_are_always_faster_end_in_a_sentence(
    ledger: PostgresLedger, dsn: str, clock: Clock, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who loses every attempt gives up after a while, and has changed nothing."""
    monkeypatch.setattr(postgres_ledger, "_DEADLINE_S", 0.0)
    unlucky, lucky = PostgresLedger.open(dsn, clock), iter(range(2, 100))

    def slower(facts: dict[str, object], new: Document, prev: str) -> Entry:
        run_sql(dsn, f"UPDATE lorafab.lots SET document = '{next(lucky)}'")
        return make_entry(facts, new, prev)

    ledger.note_printed("demo", 1, reason="sheet", operator="Eve")
    monkeypatch.setattr(postgres_ledger, "make_entry", slower)
    with pytest.raises(LedgerError, match="was changed by others at each of 1 attempts"):
        unlucky.note_printed("demo", 2, reason="sheet", operator="Eve")


def test_what_the_rules_allow_and_the_schema_refuses_is_damage(ledger: PostgresLedger, dsn: str, ask: Ask) -> None:
    """The station stops, and nothing is half there."""
    run_sql(dsn, "INSERT INTO lorafab.history VALUES (1, 'x', 'y', 'z')")
    with pytest.raises(LedgerError, match=r"refuses what the ledger's rules allow .* `lorafab ledger check`"):
        ledger.claim(ask(1))
    assert not ledger.is_used(ask(1).dev_eui)


# Lines that are cut, servers that go away


def test_a_server_restart_stops_the_station_once(postgres: PostgresServer, ledger: PostgresLedger, ask: Ask) -> None:
    """The call that meets it says that nothing was changed; the next one connects again."""
    ledger.claim(ask(1))
    for mode in ("fast", "immediate"):
        postgres.restart(mode)
        with pytest.raises(LedgerError, match=r"was lost before anything was changed .* start the run again"):
            ledger.claim(ask(2))
        assert not ledger.is_used(ask(2).dev_eui)
    assert ledger.claim(ask(2)).attempts == 1
    assert ledger.check() == []


def test_a_closed_ledger_connects_again(ledger: PostgresLedger, ask: Ask) -> None:
    """The session's last words come late."""
    ledger.close()
    ledger.close()
    assert ledger.claim(ask(1)).state == "reserved"


@pytest.mark.parametrize("cut", ["before", "after", "late"])
def test_a_line_cut_at_commit_leaves_no_doubt(
    ledger: PostgresLedger, dsn: str, ask: Ask, key: Key, line: Callable[[Cut], Wire], cut: Cut
) -> None:
    """Whether COMMIT was lost, its answer was, or it arrives when the station already asks: one entry, one answer."""
    ledger.claim(ask(1))
    wire = line(cut)
    station = PostgresLedger.open(wire.dsn(dsn), FakeClock())
    claim = station.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    assert [made.kcv_app for made in claim.generations] == [key(1).kcv]
    assert wire.commits == (2 if cut == "before" else 1)
    assert events(ledger) == ["claim", "key"]
    assert ledger.check() == []
    station.close()


@pytest.mark.parametrize(("cut", "made"), [("before", False), ("after", True)])
def test_a_doubt_that_nobody_resolves_is_said(
    ledger: PostgresLedger,
    dsn: str,
    ask: Ask,
    key: Key,
    line: Callable[[Cut], Wire],
    monkeypatch: pytest.MonkeyPatch,
    cut: Cut,
    made: bool,
) -> None:
    """The server does not come back in time: no answer is given, so no key is used, and the next run finds out."""
    monkeypatch.setattr(postgres_ledger, "_DOUBT_S", 0.2)
    ledger.claim(ask(1))
    wire = line(cut)
    wire.stay_dead = True
    station = PostgresLedger.open(wire.dsn(dsn), FakeClock())
    with pytest.raises(LedgerError, match=f"DevEUI {ask(1).dev_eui} was being changed, .* whether entry 2 was made"):
        station.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    wire.dead = False
    assert len(station.sealed_keys(ask(1).dev_eui)) == made
    station.close()


# What is kept


def test_the_history_can_be_verified_without_lorafab(ledger: PostgresLedger, dsn: str, ask: Ask, key: Key) -> None:
    """Each row is the exact text of which its hash was made, and names the row before."""
    ledger.claim(ask(1, label="LW:D0:ÄÖ\u2028'\\"[:7]))
    ledger.add_key(ask(1).dev_eui, 1, [key(1), key(2, "nwkkey")], "r1")
    prev = hashlib.sha256(f"lorafab/1/ledger/{ledger.ledger_id}".encode()).hexdigest()
    for seq, digest, before, text in run_sql(dsn, "SELECT seq, hash, prev, entry FROM lorafab.history ORDER BY seq"):
        entry = json.loads(str(text))
        assert (entry["seq"], entry.pop("hash"), entry["prev"]) == (seq, digest, before) == (seq, digest, prev)
        plain = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(plain.encode()).hexdigest() == digest
        prev = str(digest)
    assert ledger.head() == prev


@pytest.mark.slow
def test_more_boards_than_a_page_are_all_found(ledger: PostgresLedger, ask: Ask) -> None:
    """Walking is done in pages; boards may change meanwhile, and nothing is skipped or told twice."""
    for n in range(1, 512):
        ledger.claim(ask(n, run=f"r{n}"))
    seen = []
    for document in ledger.documents("demo"):
        seen.append(document.dev_eui)
        if len(seen) % 100 == 0:
            ledger.mark_failed(ask(1).dev_eui, "r1")
            ledger.claim(ask(1, run=f"again{len(seen)}"))
    assert seen == [str(ask(n).dev_eui) for n in range(1, 512)]
    assert len(events(ledger)) == 511 + 5
    assert ledger.check() == []


DAMAGE = {
    "a byte flipped in an entry": (
        "UPDATE lorafab.history SET entry = replace(entry, 'Eve', 'Eva') WHERE seq = 2",
        "entry 2 was changed after it was written",
    ),
    "an entry that is none": ("UPDATE lorafab.history SET entry = '{}' WHERE seq = 2", "row 2 is no entry"),
    "an entry removed": ("DELETE FROM lorafab.history WHERE seq = 2", "entry 3 does not follow entry 1"),
    "two entries swapped": (
        "UPDATE lorafab.history a SET entry = b.entry FROM lorafab.history b WHERE (a.seq, b.seq) IN ((2, 3), (3, 2))",
        "entry 2 was changed after it was written",
    ),
    "the tail cut": ("DELETE FROM lorafab.history WHERE seq = 4", "ends at entry 3 and its head says 4"),
    "the tail cut with care": (
        "DELETE FROM lorafab.history WHERE seq = 4; "
        "UPDATE lorafab.head SET (seq, hash) = (SELECT seq, hash FROM lorafab.history WHERE seq = 3)",
        "lot demo has a row .entry 4. and is missing from the history",
    ),
    "a head lost": ("DELETE FROM lorafab.head", "its head says none"),
    "a claim changed": (
        "UPDATE lorafab.claims SET document = replace(document, '\"attempts\":1', '\"attempts\":7')",
        "DevEUI 70B3D5499A000001: the row .entry 3. is not what the history says",
    ),
    "a claim damaged": (
        "UPDATE lorafab.claims SET document = '{' WHERE label LIKE '%2'",
        "the row of DevEUI 70B3D5499A000002 in lorafab.claims is no claim",
    ),
    "a column changed": (
        "UPDATE lorafab.claims SET chip_id = 'X' WHERE label LIKE '%2'",
        "the row of DevEUI 70B3D5499A000002 in lorafab.claims is not what its own document says",
    ),
    "a claim removed": (
        "DELETE FROM lorafab.claims WHERE label LIKE '%2'",
        "DevEUI 70B3D5499A000002 is in the history .entry 2. and its row is missing",
    ),
    "a check value removed": ("DELETE FROM lorafab.kcvs", "is missing from lorafab.kcvs"),
    "a check value invented": (
        "INSERT INTO lorafab.kcvs SELECT 'FFFF', min(dev_eui) FROM lorafab.claims",
        "FFFF to DevEUI 70B3D5499A000001, which has no such key",
    ),
    "a lot changed": (
        "UPDATE lorafab.lots SET document = replace(document, '5', '6')",
        "lot demo: the row .entry 4. is not what the history says",
    ),
    "a lot damaged": ("UPDATE lorafab.lots SET document = '5'", "the row of lot demo in lorafab.lots is none"),
    "a lot under another name": (
        "UPDATE lorafab.lots SET lot = 'x'",
        "the row of lot x in lorafab.lots is not what its own document says",
    ),
    "a lot removed": ("DELETE FROM lorafab.lots", "lot demo is in the history .entry 4. and its row is missing"),
    "a constraint dropped and used": (
        "DROP INDEX lorafab.claims_chip; UPDATE lorafab.claims SET chip_id = 'X'",
        "chip X belongs to several DevEUIs: 70B3D5499A000001, 70B3D5499A000002",
    ),
    "a ledger under another id": (
        "UPDATE lorafab.about SET ledger_id = 'ffffffffffffffffffffffffffffffff'",
        "entry 1 does not follow entry 0",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_check_names_each_damage(dsn: str, clock: Clock, ask: Ask, key: Key, damage: str) -> None:
    """Somebody with a right to write into the tables cannot do it unseen."""
    ledger = PostgresLedger.create(dsn, clock)
    ledger.claim(ask(1))
    ledger.claim(ask(2))
    ledger.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    ledger.note_printed("demo", 5, reason="sheet", operator="Eve")
    assert ledger.check() == []
    change, sentence = DAMAGE[damage]
    run_sql(dsn, change)
    problems = PostgresLedger.open(dsn, clock).check()
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError("\n".join(problems))


def test_a_damaged_row_is_never_taken_for_a_free_identity(ledger: PostgresLedger, dsn: str, ask: Ask) -> None:
    """A claim that cannot be read is an error."""
    ledger.claim(ask(1))
    run_sql(dsn, "UPDATE lorafab.claims SET document = '{}'")
    with pytest.raises(LedgerError, match=r"lorafab\.claims is damaged"):
        ledger.claim(ask(1))
    with pytest.raises(LedgerError, match=r"lorafab\.claims is damaged"):
        list(ledger.documents())
