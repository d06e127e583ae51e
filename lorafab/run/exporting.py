"""Boards that passed, with their keys, on their way to the customer: which ones, and in which order.

Handed over is the key generation that was read back from the board. A board whose secure element has a key of its own
goes without one, in formats that need none; one whose key was only asserted does not go at all, because what is sealed
may not be what it holds.

All keys are opened and held against the ledger's key check values before the first byte leaves; one that does not fit
stops everything. The file is durable, whole and under its name before the ledger notes *exported*, so that a kill
leaves boards that are only *passed*: the next export has them again.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorafab.config.load import read_product
from lorafab.config.models import LotConfig
from lorafab.domain.identity import Eui64, KeySlot, is_virtual_chip
from lorafab.domain.secret import Secret
from lorafab.errors import ExportError, ForeignDevice, LedgerError, LorafabError, UsageError
from lorafab.export.device import Device, named
from lorafab.stores.atomic import write_file
from lorafab.stores.claims import ELEMENT_KEY, ClaimDocument, evidence_of, exportable, is_export_due
from lorafab.stores.keyring import PrivateKey, open_key
from lorafab.stores.ledger import BaseLedger

_ASSERTED: Final = "passed, key asserted"
"""Why a board that passed is left out: its key was taken by its own word."""


@dataclass(frozen=True)
class Selection:
    """The boards of a lot, sorted by whether they are exported, each group by DevEUI."""

    boards: tuple[ClaimDocument, ...]
    """*passed*, or *exported* already: exporting again changes nothing."""
    left_out: dict[str, tuple[str, ...]]
    """State, or what else keeps a board back -> DevEUIs."""

    @property
    def again(self) -> tuple[str, ...]:
        """DevEUIs whose customer has this key generation already."""
        return tuple(board.dev_eui for board in self.boards if board.exported == exportable(board))

    @property
    def re_keyed(self) -> tuple[str, ...]:
        """DevEUIs whose customer has an older key generation: re-export was due."""
        return tuple(board.dev_eui for board in self.boards if board.exported is not None and is_export_due(board))


@dataclass(frozen=True)
class Handed:
    """What became of an export: boards that the ledger has as *exported* now, and those that did not get through."""

    done: tuple[str, ...]
    failed: dict[str, str]
    """DevEUI -> sentence."""


def select(ledger: BaseLedger, lot: LotConfig, *, demo: bool) -> Selection:
    """Choose the boards of a lot. Raises UsageError, LedgerError, ExportError."""
    if lot.kind == "demo" and not demo:
        raise UsageError(
            f"lot {lot.lot} is of kind demo, wanted boards that are sold; give --demo if a demo export is meant"
        )
    if lot.ledger is not None and lot.ledger != ledger.ledger_id:
        raise LedgerError(
            f"lot {lot.lot} belongs to ledger {lot.ledger}, and this is {ledger.ledger_id}; name the right one with "
            "--data or --dsn-env"
        )
    boards, left_out = list[ClaimDocument](), dict[str, list[str]]()
    for document in ledger.replayed(lot.lot):
        if exportable(document) is not None:
            boards.append(document)
        else:
            why = _ASSERTED if evidence_of(document) == "asserted" else document.state
            left_out.setdefault(why, []).append(document.dev_eui)
    _refuse_virtual(boards, lot)
    _refuse_mixture(boards, lot)
    if not boards and _ASSERTED in left_out:
        raise ExportError(
            f"the keys of {named(left_out[_ASSERTED])} of lot {lot.lot} were only asserted: nobody has read them back, "
            "so the boards may hold others, wanted proof by reading or by a join; nothing was exported"
        )
    if not boards:
        counts = ", ".join(f"{len(names)} {state}" for state, names in sorted(left_out.items())) or "none at all"
        raise ExportError(f"no board of lot {lot.lot} has passed (the ledger has {counts}); produce it first")
    return Selection(tuple(boards), {state: tuple(names) for state, names in sorted(left_out.items())})


def _refuse_mixture(boards: Sequence[ClaimDocument], lot: LotConfig) -> None:
    """A file's columns are the same for all boards, and an empty key is a key of zeros to some that read it."""
    elements = [board.dev_eui for board in boards if exportable(board) == ELEMENT_KEY]
    if 0 < len(elements) < len(boards):
        raise ExportError(
            f"the keys of {named(elements)} lie in secure elements, and the other {len(boards) - len(elements)} of lot "
            f"{lot.lot} have keys of the vault's, wanted one kind in a lot; nothing was exported: find out how they "
            "came into it"
        )


def _refuse_virtual(boards: Sequence[ClaimDocument], lot: LotConfig) -> None:
    for board in boards:
        if lot.kind == "production" and is_virtual_chip(board.chip_id):
            raise ExportError(
                f"DevEUI {board.dev_eui} of production lot {lot.lot} is on virtual chip {board.chip_id}, wanted "
                "silicon; nothing was exported: find out how it passed, and scrap it with `lorafab ledger scrap`"
            )


def region_of(root: Path, lot: LotConfig) -> str | None:
    """The lot's region, or else its product's. Raises ConfigError."""
    return lot.region or read_product(root, lot.product)[1].region


def open_devices(selection: Selection, lot: LotConfig, region: str | None, private: PrivateKey) -> list[Device]:
    """Open every board's keys of its proven generation. Raises VaultError, ExportError; then nothing is exported."""
    return [_open(board, lot, region, private) for board in selection.boards]


def _open(board: ClaimDocument, lot: LotConfig, region: str | None, private: PrivateKey) -> Device:
    if exportable(board) == ELEMENT_KEY:
        return _device(board, lot, region, ELEMENT_KEY, {})
    key = next((key for key in board.generations if key.generation == board.proven), None)
    if key is None or len(key.kcvs) != len(lot.key_slots):
        found = "no key" if key is None else f"{len(key.kcvs)} root key{'s' if len(key.kcvs) > 1 else ''}"
        raise ExportError(
            f"DevEUI {board.dev_eui} passed with {found}, and LoRaWAN {lot.lorawan} of lot {lot.lot} wants "
            f"{len(lot.key_slots)}; nothing was exported: correct the lot, or run the board again"
        )
    dev_eui = Eui64.parse(board.dev_eui)
    keys = {slot: open_key(private, dev_eui, key, slot) for slot in lot.key_slots}
    return _device(board, lot, region, key.generation, keys)


def _device(
    board: ClaimDocument, lot: LotConfig, region: str | None, generation: int, keys: Mapping[KeySlot, Secret]
) -> Device:
    return Device(
        dev_eui=Eui64.parse(board.dev_eui),
        join_eui=Eui64.parse(board.join_eui),
        serial=board.serial,
        label=board.label,
        lorawan=lot.lorawan,
        region=region,
        generation=generation,
        app_key=keys.get("appkey"),
        nwk_key=keys.get("nwkkey"),
    )


def refuse_existing(path: Path) -> None:
    """Raise UsageError for a file that exists: a good export is never replaced."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists, and an export never replaces a file; give another name, or move it away")


def to_file(
    path: Path, data: bytes, selection: Selection, ledger: BaseLedger, *, what: str, operator: str
) -> tuple[Handed, str]:
    """Write the export, mode 0600, then note every board as exported; returns the file's SHA-256 too.

    Raises ExportError when the file could not be written; then the ledger is as it was.
    """
    digest = hashlib.sha256(data).hexdigest()
    if not path.name.isprintable():  # now: the ledger would refuse it when the keys have left
        raise UsageError(f"the file name {path.name!r} holds characters that the ledger cannot keep; give another one")
    refuse_existing(path)
    write_file(path, data, ExportError, mode=0o600)
    reason = f"{what} to {path.name}, sha256 {digest}"
    done, failed = list[str](), dict[str, str]()
    for board in selection.boards:
        try:
            _mark(ledger, board, reason, operator)
            done.append(board.dev_eui)
        except LorafabError as error:  # reworked meanwhile, or a ledger out of reach: the others were exported
            failed[board.dev_eui] = str(error)
    return Handed(tuple(done), failed), digest


def to_server(
    put: Callable[[Device], object],
    devices: Sequence[Device],
    selection: Selection,
    ledger: BaseLedger,
    *,
    reason: str,
    operator: str,
) -> Handed:
    """Hand over board by board with ``put``, and note each as exported as soon as the server has it.

    A server's trouble with one board (ForeignDevice) passes over it; any other stops, and the rest has not been sent.
    """
    done, failed = list[str](), dict[str, str]()
    for number, (device, board) in enumerate(zip(devices, selection.boards, strict=True)):
        try:
            put(device)
            _mark(ledger, board, reason, operator)
            done.append(board.dev_eui)
        except ForeignDevice as error:
            failed[board.dev_eui] = str(error)
        except LorafabError as error:
            failed[board.dev_eui] = str(error)
            failed |= {rest.dev_eui: "not sent" for rest in selection.boards[number + 1 :]}
            break
    return Handed(tuple(done), failed)


def _mark(ledger: BaseLedger, board: ClaimDocument, reason: str, operator: str) -> None:
    generation = exportable(board)
    assert generation is not None  # `select` took no other
    ledger.mark_exported(Eui64.parse(board.dev_eui), generation, reason=reason, operator=operator)
