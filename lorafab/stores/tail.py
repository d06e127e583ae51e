"""The end of the history, which the view does not have yet; together they are the ledger.

Between two checkpoints a change is one line of the history and nothing else: one fsync. What it changed is kept here,
and goes before what the view says.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.stores.claims import ClaimDocument, LotDocument, unique_keys
from lorafab.stores.history import Entry
from lorafab.stores.view import View


class Tail:
    """Entries after a checkpoint, and what they made of each identity and lot; reads through to ``view``."""

    def __init__(self, view: View, entries: Iterable[Entry] = ()) -> None:
        self._view = view
        self.entries: list[Entry] = []
        self.claims: dict[str, ClaimDocument] = {}
        self.lots: dict[str, LotDocument] = {}
        self._owners: dict[tuple[str, str], set[str]] = defaultdict(set)
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Take one more entry, the newest."""
        self.entries.append(entry)
        document = entry.document
        if isinstance(document, LotDocument):
            self.lots[document.lot] = document
            return
        self.claims[document.dev_eui] = document
        for pair in unique_keys(document):
            self._owners[pair].add(document.dev_eui)

    # What the rules ask, see `lorafab.stores.ledger.Reader`

    def get(self, dev_eui: Eui64) -> ClaimDocument | None:
        """Find an identity. Raises LedgerError."""
        return self.claims.get(str(dev_eui)) or self._view.get(dev_eui)

    def holders(self, kind: str, key: str, settled: bool = False) -> list[ClaimDocument]:
        """Identities that have this label, serial, chip or kcv, as their documents confirm.

        ``settled`` says that no checkpoint is going on: then an index entry without a document is not early but
        orphaned, its file of claims is lost, and LedgerError is raised before an identity is given away twice.
        """
        holders = []
        for name in sorted({*self._view.owners(kind, key), *self._owners.get((kind, key), ())}):
            document = self.get(Eui64.parse(name))
            if settled and document is None:
                raise LedgerError(
                    f"DevEUI {name} has {kind} {key}, but its claim is missing from the ledger's view: a file was "
                    "lost; stop, and make the view again with `lorafab ledger check --rebuild`"
                )
            if document is not None and (kind, key) in unique_keys(document):
                holders.append(document)
        return holders

    def lot(self, name: str) -> LotDocument | None:
        """What is noted of a lot. Raises LedgerError."""
        return self.lots.get(name) or self._view.lot(name)

    def all(self) -> Iterator[ClaimDocument]:
        """Every identity. Raises LedgerError at a damaged file."""
        yield from self.claims.values()
        for document in self._view.all():
            if document.dev_eui not in self.claims:
                yield document
