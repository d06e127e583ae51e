"""``lorafab lot``: production orders."""

import argparse
from collections import Counter
from typing import Any

from lorafab.cli import label_sheet
from lorafab.cli.command import ledger_or_none, noun, verb


def add(nouns: Any) -> None:
    """Declare the commands."""
    lot = noun(nouns, "lot", "production orders")
    verb(lot, "show", _lot_show, "one lot, with labels that it would accept", data=True).add_argument("lot")
    verb(lot, "list", _lot_list, "all lots")
    label_sheet.add_close(lot)


def _lot_show(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot
    from lorafab.run.station import check_ledger, unused_labels

    lot = load_lot(options.root, options.lot)
    ledger = ledger_or_none(options)
    if ledger is not None:
        check_ledger(lot, ledger)
    shown: dict[str, object] = lot.model_dump(mode="json")
    shown |= {"source": lot.dev_eui.source, "quantity": lot.quantity, "key_slots": list(lot.key_slots)}
    noted = None if ledger is None else ledger.lot(lot.lot)
    # A closed lot accepts none.
    shown["example_labels"] = [] if noted is not None and noted.closed else unused_labels(lot, ledger, 3)
    if ledger is not None and noted is not None:
        shown["boards"] = dict(sorted(Counter(str(claim["state"]) for claim in ledger.all_claims(lot.lot)).items()))
        # All labels of a demo lot are on the roll beside the virtual jig.
        shown["printed"] = lot.quantity if lot.kind == "demo" else noted.printed
        shown["closed"] = noted.closed
    return shown


def _lot_list(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lots

    return [
        {
            "lot": lot.lot,
            "product": lot.product,
            "kind": lot.kind,
            "source": lot.dev_eui.source,
            "quantity": lot.quantity,
        }
        for lot in load_lots(options.root)
    ]
