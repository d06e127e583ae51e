"""What the ledger looks like in PostgreSQL: the schema ``lorafab``, version 1.

``history`` is append-only and holds the truth: ``entry`` is the canonical JSON of :mod:`lorafab.stores.history`, kept
as text, so that its hash can be computed again. ``prev`` is unique as well: one entry has one successor. ``head`` is
the one row that every change locks first and writes last. ``claims``, ``kcvs`` and ``lots`` are what the history says
now; their constraints forbid what the rules forbid, whoever writes. Nothing is ever deleted.

Plain tables, unique indexes and row locks only: no trigger, no advisory lock, no LOCK TABLE.
"""

from typing import Final

VERSION: Final = 1

# about.state: 'moving' until a ledger that comes from files is whole here and closed there.
CREATE: Final = """
CREATE SCHEMA lorafab;
CREATE TABLE lorafab.about (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema_version integer NOT NULL,
    ledger_id text NOT NULL CHECK (length(ledger_id) = 32),
    created text NOT NULL,
    state text NOT NULL CHECK (state IN ('ready', 'moving'))
);
CREATE TABLE lorafab.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL,
    hash text NOT NULL CHECK (length(hash) = 64)
);
CREATE TABLE lorafab.history (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    hash text NOT NULL UNIQUE,
    prev text NOT NULL UNIQUE,
    entry text NOT NULL
);
CREATE TABLE lorafab.claims (
    dev_eui text PRIMARY KEY CHECK (length(dev_eui) = 16),
    label text NOT NULL UNIQUE,
    lot text NOT NULL,
    serial text NOT NULL,
    chip_id text NOT NULL,
    state text NOT NULL,
    document text NOT NULL
);
CREATE UNIQUE INDEX claims_serial ON lorafab.claims (serial, lot) WHERE serial <> '';
CREATE UNIQUE INDEX claims_chip ON lorafab.claims (chip_id) WHERE chip_id <> '' AND state <> 'scrapped';
CREATE INDEX claims_lot ON lorafab.claims (lot, dev_eui);
CREATE TABLE lorafab.kcvs (
    kcv text PRIMARY KEY,
    dev_eui text NOT NULL REFERENCES lorafab.claims (dev_eui)
);
CREATE TABLE lorafab.lots (
    lot text PRIMARY KEY,
    document text NOT NULL
);
"""

ABOUT: Final = "SELECT schema_version, ledger_id, state FROM lorafab.about"
NEW_ABOUT: Final = "INSERT INTO lorafab.about (schema_version, ledger_id, created, state) VALUES (%s, %s, %s, %s)"
READY: Final = "UPDATE lorafab.about SET state = 'ready'"
NEW_HEAD: Final = "INSERT INTO lorafab.head (seq, hash) VALUES (%s, %s)"
HEAD: Final = "SELECT seq, hash FROM lorafab.head"

# One round trip. Whoever holds this row is the only one that changes the ledger.
BEGIN: Final = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT seq, hash FROM lorafab.head FOR UPDATE"
# Read committed: what ended while this waited for the row is seen by the statement that follows.
BEGIN_READ_BACK: Final = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT seq, hash FROM lorafab.head FOR UPDATE"
BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

CLAIM: Final = "SELECT document FROM lorafab.claims WHERE dev_eui = %s"
HOLDERS: Final = {
    "label": "SELECT document FROM lorafab.claims WHERE label = %s",
    "serial": "SELECT document FROM lorafab.claims WHERE serial = %s AND serial <> '' ORDER BY lot",
    "chip": "SELECT document FROM lorafab.claims WHERE chip_id = %s AND chip_id <> '' AND state <> 'scrapped'",
    "kcv": "SELECT document FROM lorafab.claims JOIN lorafab.kcvs USING (dev_eui) WHERE kcv = %s",
}
LOT: Final = "SELECT document FROM lorafab.lots WHERE lot = %s"
HASH: Final = "SELECT hash FROM lorafab.history WHERE seq = %s"

APPEND: Final = "INSERT INTO lorafab.history (seq, hash, prev, entry) VALUES (%s, %s, %s, %s)"
ADVANCE: Final = "UPDATE lorafab.head SET seq = %s, hash = %s"
NEW_CLAIM: Final = (
    "INSERT INTO lorafab.claims (label, lot, serial, chip_id, state, document, dev_eui) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
SAVE_CLAIM: Final = (
    "UPDATE lorafab.claims SET label = %s, lot = %s, serial = %s, chip_id = %s, state = %s, document = %s "
    "WHERE dev_eui = %s"
)
NEW_KCV: Final = "INSERT INTO lorafab.kcvs (kcv, dev_eui) VALUES (%s, %s)"
NEW_LOT: Final = "INSERT INTO lorafab.lots (document, lot) VALUES (%s, %s)"
SAVE_LOT: Final = "UPDATE lorafab.lots SET document = %s WHERE lot = %s"

# Pages: each continues after the last key of the one before.
PAGE: Final = 500
ENTRIES: Final = "SELECT seq, hash, prev, entry FROM lorafab.history WHERE seq > %s ORDER BY seq LIMIT 500"
CLAIMS: Final = (
    "SELECT dev_eui, label, lot, serial, chip_id, state, document FROM lorafab.claims "
    "WHERE dev_eui > %s ORDER BY dev_eui LIMIT 500"
)
CLAIMS_OF_LOT: Final = (
    "SELECT dev_eui, label, lot, serial, chip_id, state, document FROM lorafab.claims "
    "WHERE dev_eui > %s AND lot = %s ORDER BY dev_eui LIMIT 500"
)
KCVS: Final = "SELECT kcv, dev_eui FROM lorafab.kcvs WHERE kcv > %s ORDER BY kcv LIMIT 500"
LOTS: Final = "SELECT lot, document FROM lorafab.lots WHERE lot > %s ORDER BY lot LIMIT 500"

COPY_HISTORY: Final = "COPY lorafab.history (seq, hash, prev, entry) FROM STDIN"
COPY_CLAIMS: Final = "COPY lorafab.claims (label, lot, serial, chip_id, state, document, dev_eui) FROM STDIN"
COPY_KCVS: Final = "COPY lorafab.kcvs (kcv, dev_eui) FROM STDIN"
COPY_LOTS: Final = "COPY lorafab.lots (document, lot) FROM STDIN"
DROP: Final = "DROP SCHEMA lorafab CASCADE"

REPEATED: Final = {
    "label": (
        "SELECT label, string_agg(dev_eui, ', ' ORDER BY dev_eui) FROM lorafab.claims "
        "GROUP BY label HAVING count(*) > 1 ORDER BY label"
    ),
    "serial": (
        "SELECT serial, string_agg(dev_eui, ', ' ORDER BY dev_eui) FROM lorafab.claims WHERE serial <> '' "
        "GROUP BY lot, serial HAVING count(*) > 1 ORDER BY lot, serial"
    ),
    "chip": (
        "SELECT chip_id, string_agg(dev_eui, ', ' ORDER BY dev_eui) FROM lorafab.claims "
        "WHERE chip_id <> '' AND state <> 'scrapped' GROUP BY chip_id HAVING count(*) > 1 ORDER BY chip_id"
    ),
    "key check value (an equal key)": (
        "SELECT kcv, string_agg(dev_eui, ', ' ORDER BY dev_eui) FROM lorafab.kcvs "
        "GROUP BY kcv HAVING count(*) > 1 ORDER BY kcv"
    ),
}
