"""``lorafab ledger``: who got which identity."""

import argparse
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafab.cli import ledger_check, ledger_move
from lorafab.cli.command import data_folder, decided, noun, open_ledger, verb
from lorafab.errors import ConfigError, LabelRefused, LedgerError

if TYPE_CHECKING:
    from lorafab.stores.claims import State
    from lorafab.stores.ledger import BaseLedger

_STATES = ("reserved", "written", "passed", "exported", "quarantined", "scrapped", "void")
_DECISIONS: dict[str, tuple["State", str]] = {
    "quarantine": ("quarantined", "keep the line and the export away from a board until `ledger rework`"),
    "scrap": ("scrapped", "give an identity up for ever; its chip may get another label"),
    "rework": ("reserved", "let the line take a quarantined or exported board again; it must pass anew"),
}


def add(nouns: Any) -> None:
    """Declare the commands."""
    ledger = noun(nouns, "ledger", "who got which identity")
    verb(ledger, "init", _ledger_init, "make an empty ledger", data=True)
    one = verb(ledger, "show", _ledger_show, "one identity", data=True)
    one.add_argument("key", metavar="DEVEUI|LABEL")
    one.add_argument("--history", action="store_true", help="with everything that ever happened to it")
    every = verb(ledger, "list", _ledger_list, "all identities", data=True)
    every.add_argument("--lot", help="of this lot only")
    every.add_argument("--state", choices=_STATES, help="in this state only")
    for name, (_, text) in _DECISIONS.items():
        decision = verb(ledger, name, _ledger_decide, text, data=True)
        decision.add_argument("key", metavar="DEVEUI|LABEL")
        decided(decision)
    rebind = verb(ledger, "rebind", _ledger_rebind, "supersede a binding after a repair", data=True)
    rebind.add_argument("dev_eui", metavar="DEVEUI")
    rebind.add_argument("--label", default="", metavar="TEXT", help="the new label, where it was replaced")
    rebind.add_argument("--chip", type=_chip_id, metavar="ID", help="the new chip's unique id, where it was replaced")
    decided(rebind)
    ledger_move.add(ledger)
    ledger_check.add(ledger)


def _chip_id(text: str) -> str:
    """A unique id as the line reads it: a mistyped one would take the board its binding and its keys."""
    if not re.fullmatch(r"[0-9A-Fa-f]{16,24}", text):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no chip's unique id, wanted 16 to 24 hex digits as in a record or report"
        )
    return text.upper()


def _ledger_init(options: argparse.Namespace) -> object:
    from lorafab.drivers.clock import SystemClock
    from lorafab.run.station import dsn_from
    from lorafab.stores.tiny_ledger import TinyLedger

    if options.dsn_env is not None:
        from lorafab.stores.postgres_ledger import PostgresLedger

        return {"ledger": PostgresLedger.create(dsn_from(options.dsn_env), SystemClock()).ledger_id}
    return {"ledger": TinyLedger.create(data_folder(options), SystemClock()).ledger_id}


def _ledger_show(options: argparse.Namespace) -> object:
    ledger = open_ledger(options)
    found = dict(_find(options, ledger))
    if options.history:
        found["history"] = _history(ledger, found["dev_eui"])
    return found


def _find(options: argparse.Namespace, ledger: "BaseLedger") -> Mapping[str, Any]:
    """Look a board up by whatever is known of it. Raises LedgerError."""
    from lorafab.domain.label import parse_label

    key = options.key.strip()
    found, what = ledger.find(key), "by that serial or chip id"
    if found is None:
        # Not a serial or an id that was ever claimed: then it must be a label, perhaps with a claim secret.
        with suppress(LabelRefused):
            dev_eui = parse_label(key).dev_eui
            found, what = ledger.find(str(dev_eui)), f"with {dev_eui}"
    if found is None:
        found = _find_by_own_form(options.root, ledger, key)
    if found is None:
        raise LedgerError(f"the ledger knows no board {what}; check it, or name another --data")
    return found


def _find_by_own_form(root: Path, ledger: "BaseLedger", text: str) -> Mapping[str, Any] | None:
    """Read a label as the lots do that have a form of their own."""
    from lorafab.config.load import load_lots
    from lorafab.steps.label import identify, read_label

    with suppress(ConfigError):  # the ledger can be asked where lot files are missing or damaged, too
        for lot in load_lots(root):
            if lot.label_pattern is None:
                continue
            with suppress(LabelRefused):
                who = identify(read_label(text, lot), lot)
                found = ledger.find(str(who.dev_eui or who.serial))
                if found is not None and found["lot"] == lot.lot:
                    return found
    return None


def _history(ledger: "BaseLedger", dev_eui: str) -> list[dict[str, object]]:
    """What happened to one identity, oldest first. Raises LedgerError where the history is damaged."""
    fields = ("seq", "time", "event", "run", "station", "operator", "reason")
    happened = []
    for entry in ledger.entries():
        if isinstance(entry, str):
            raise LedgerError(f"{entry}; ask `lorafab ledger check` what else is wrong")
        if entry.claim is not None and entry.claim.dev_eui == dev_eui:
            happened.append({name: getattr(entry, name) for name in fields} | {"state": entry.claim.state})
    return happened


def _ledger_decide(options: argparse.Namespace) -> object:
    from lorafab.domain.identity import Eui64

    state = _DECISIONS[options.verb][0]
    ledger = open_ledger(options, read_only=False)
    dev_eui = Eui64.parse(_find(options, ledger)["dev_eui"])
    claim = ledger.move(dev_eui, state, reason=options.reason, operator=options.operator)
    ledger.close()
    return {"dev_eui": str(claim.dev_eui), "state": claim.state}


def _ledger_rebind(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label

    dev_eui = parse_label(options.dev_eui).dev_eui
    assert dev_eui is not None  # only a lot's own form of label may leave it out
    ledger = open_ledger(options, read_only=False)
    known = ledger.find(str(dev_eui)) if options.label else None
    claim = ledger.rebind(
        dev_eui,
        label=_label_for(options, known) if known else "",
        chip_id=options.chip or "",
        reason=options.reason,
        operator=options.operator,
        run="",
    )
    return {"dev_eui": str(claim.dev_eui), "state": claim.state, "next_generation": len(claim.generations) + 1}


def _label_for(options: argparse.Namespace, known: Mapping[str, Any]) -> str:
    """Text of the new label, which has to name the same board in its lot. Raises LabelRefused, ConfigError."""
    from lorafab.config.load import load_lot
    from lorafab.steps.label import identify, read_label

    lot = load_lot(options.root, known["lot"])
    who = identify(read_label(options.label, lot), lot)
    if str(who.dev_eui or known["dev_eui"]) != known["dev_eui"] or who.serial not in ("", known["serial"]):
        raise LabelRefused(
            f"the new label names DevEUI {who.dev_eui or '-'}, serial {who.serial or '-'}, wanted one for DevEUI "
            f"{known['dev_eui']}, serial {known['serial'] or '-'}; print that, or give the board a new identity"
        )
    return who.label_text


def _ledger_list(options: argparse.Namespace) -> object:
    fields = ("dev_eui", "serial", "chip_id", "lot", "state", "attempts", "run")
    claims = open_ledger(options).all_claims(options.lot)
    rows = [claim for claim in claims if options.state is None or claim["state"] == options.state]
    return [{field: claim[field] for field in fields} for claim in sorted(rows, key=lambda claim: claim["dev_eui"])]
