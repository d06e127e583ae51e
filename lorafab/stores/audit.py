"""The whole ledger, checked: the chain of its history, its view against the history, and what must be unique."""

from collections import defaultdict
from collections.abc import Iterator

from lorafab.errors import LedgerError
from lorafab.stores.claims import ClaimDocument, unique_keys
from lorafab.stores.history import History
from lorafab.stores.view import View


def audit(history: History, view: View) -> Iterator[str]:
    """Say everything that is wrong, one sentence each; nothing means that the ledger is sound.

    The caller keeps writers out, or a transaction under way shows as a difference. Reads every file: some seconds at
    100 000 boards.
    """
    newest: dict[str, ClaimDocument] = {}
    for step in history.entries():
        if isinstance(step, str):
            yield step
        elif step.claim is not None:
            newest[step.claim.dev_eui] = step.claim
    kept: dict[str, ClaimDocument] = {}
    for path in view.paths():
        try:
            kept.update((document.dev_eui, document) for document in view.documents(path))
        except LedgerError as problem:
            yield str(problem)
    yield from _compare(newest, kept)
    yield from _repeated(kept)
    yield from _unindexed(view, kept)


def _compare(newest: dict[str, ClaimDocument], kept: dict[str, ClaimDocument]) -> Iterator[str]:
    for dev_eui in sorted(newest.keys() | kept.keys()):
        if dev_eui not in kept:
            yield f"DevEUI {dev_eui} is in the history (entry {newest[dev_eui].seq}) and missing from the claims"
        elif dev_eui not in newest:
            yield f"DevEUI {dev_eui} is in the claims (entry {kept[dev_eui].seq}) and missing from the history"
        elif kept[dev_eui] != newest[dev_eui]:
            yield (
                f"DevEUI {dev_eui}: the claim (entry {kept[dev_eui].seq}) is not what the history says "
                f"(entry {newest[dev_eui].seq})"
            )


def _repeated(kept: dict[str, ClaimDocument]) -> Iterator[str]:
    owners: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for document in kept.values():
        for kind, key in unique_keys(document):
            owners[(kind, key, document.lot if kind == "serial" else "")].append(document.dev_eui)
        kcvs = [kcv for key in document.generations for kcv in key.kcvs]
        if len(set(kcvs)) < len(kcvs):
            yield f"DevEUI {document.dev_eui} has two key generations with an equal check value: an equal key"
    for (kind, key, _), found in sorted(owners.items()):
        if len(found) > 1:
            named = "key check value (an equal key)" if kind == "kcv" else kind
            yield f"{named} {key} belongs to several DevEUIs: {', '.join(sorted(found))}"


def _unindexed(view: View, kept: dict[str, ClaimDocument]) -> Iterator[str]:
    try:
        known = view.index()
    except LedgerError as problem:
        yield str(problem)
        return
    for document in kept.values():
        for kind, key in sorted(unique_keys(document)):
            if document.dev_eui not in known.get((kind, key), ()):
                yield f"DevEUI {document.dev_eui} cannot be found by its {kind} {key}: the index entry is missing"
