"""``lorafab lot``: production orders."""

import argparse
from typing import Any

from lorafab.cli.command import ledger_or_none, noun, verb


def add(nouns: Any) -> None:
    """Declare the commands."""
    lot = noun(nouns, "lot", "production orders")
    verb(lot, "show", _lot_show, "one lot, with labels that it would accept", data=True).add_argument("lot")
    verb(lot, "list", _lot_list, "all lots")


def _lot_show(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot
    from lorafab.run.station import unused_labels

    lot = load_lot(options.root, options.lot)
    ledger = ledger_or_none(options)
    shown: dict[str, object] = lot.model_dump(mode="json")
    shown["example_labels"] = unused_labels(lot, ledger, 3)
    if ledger is not None:
        claims = [claim for claim in ledger.all_claims() if claim["lot"] == lot.lot]
        states = sorted({str(claim["state"]) for claim in claims})
        shown["boards"] = {state: sum(claim["state"] == state for claim in claims) for state in states}
    return shown


def _lot_list(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot, lot_names

    lots = [load_lot(options.root, name) for name in lot_names(options.root)]
    return [
        {"lot": lot.lot, "product": lot.product, "kind": lot.kind, "quantity": lot.dev_eui.quantity} for lot in lots
    ]
