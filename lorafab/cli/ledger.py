"""``lorafab ledger``: who got which identity."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lorafab.cli import ledger_move
from lorafab.cli.command import data_folder, decided, noun, open_ledger, show, verb
from lorafab.errors import LabelRefused, LedgerError


def add(nouns: Any) -> None:
    """Declare the commands."""
    ledger = noun(nouns, "ledger", "who got which identity")
    verb(ledger, "init", _ledger_init, "make an empty ledger", data=True)
    verb(ledger, "show", _ledger_show, "one identity", data=True).add_argument("key", metavar="DEVEUI|LABEL")
    verb(ledger, "list", _ledger_list, "all identities", data=True)
    rebind = verb(ledger, "rebind", _ledger_rebind, "supersede a binding after a repair", data=True)
    rebind.add_argument("dev_eui", metavar="DEVEUI")
    rebind.add_argument("--label", default="", metavar="TEXT", help="the new label, where it was replaced")
    rebind.add_argument("--chip", default="", metavar="ID", help="the new chip's unique id, where it was replaced")
    decided(rebind)
    ledger_move.add(ledger)
    verb(ledger, "check", _ledger_check, "hold the ledger against its own history", data=True)


def _ledger_init(options: argparse.Namespace) -> object:
    from lorafab.drivers.clock import SystemClock
    from lorafab.run.station import dsn_from
    from lorafab.stores.tiny_ledger import TinyLedger

    if options.dsn_env is not None:
        from lorafab.stores.postgres_ledger import PostgresLedger

        return {"ledger": PostgresLedger.create(dsn_from(options.dsn_env), SystemClock()).ledger_id}
    return {"ledger": TinyLedger.create(data_folder(options), SystemClock()).ledger_id}


def _ledger_show(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label

    ledger, key = open_ledger(options), options.key.strip()
    found, what = ledger.find(key), "by that serial or chip id"
    if found is None:
        # Not a serial or an id that was ever claimed: then it must be a label, perhaps with a claim secret.
        with suppress(LabelRefused):
            dev_eui = parse_label(key).dev_eui
            found, what = ledger.find(str(dev_eui)), f"with {dev_eui}"
    if found is None:
        raise LedgerError(f"the ledger knows no board {what}; check it, or name another --data")
    return found


def _ledger_rebind(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label

    dev_eui = parse_label(options.dev_eui).dev_eui
    assert dev_eui is not None  # only a lot's own form of label may leave it out
    ledger = open_ledger(options, read_only=False)
    known = ledger.find(str(dev_eui)) if options.label else None
    claim = ledger.rebind(
        dev_eui,
        label=_label_for(options, known) if known else "",
        chip_id=options.chip.upper(),
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
    return [{field: claim[field] for field in fields} for claim in open_ledger(options).all_claims()]


def _ledger_check(options: argparse.Namespace) -> object:
    # Writable: a change that a kill cut short is completed first, as the next run would do.
    ledger = open_ledger(options, read_only=False)
    problems = ledger.check()
    show({"ledger": ledger.ledger_id, "head": ledger.head(), "problems": problems}, as_json=options.json)
    if problems:
        raise LedgerError(f"the ledger has {len(problems)} problems, the first: {problems[0]}; stop, and show it to QA")
    return None
