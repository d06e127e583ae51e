"""``lorafab label sheet``, ``label void`` and ``lot close``: labels on paper, from the printer to the last count.

Which labels of a production lot were printed is kept in its ledger, so that none is printed twice by accident; it is
noted before the file is written. A demo lot keeps no count: its labels are on the roll beside the virtual jig.
"""

import argparse
import getpass
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lorafab.cli.command import decided, open_ledger, verb
from lorafab.errors import StationError, UsageError

if TYPE_CHECKING:
    from lorafab.config.models import LotConfig
    from lorafab.report.label_sheet import Sheet
    from lorafab.stores.claims import ClaimDocument
    from lorafab.stores.ledger import BaseLedger

_MOST: Final = 10_000
"""Labels in one file: 154 sheets, a minute's work."""


def add(label: Any) -> None:
    """Declare `label sheet` and `label void`."""
    sheet = verb(label, "sheet", _label_sheet, "print labels of a lot into a PDF file", data=True)
    sheet.add_argument("--lot", required=True)
    sheet.add_argument("--out", type=Path, required=True, metavar="FILE.pdf")
    sheet.add_argument("--first", type=_positive, metavar="N", help="first label (default: the first not yet printed)")
    sheet.add_argument("--count", type=_positive, metavar="N", help="how many (default: all that follow)")
    sheet.add_argument("--only", nargs="+", metavar="LABEL|DEVEUI|SERIAL", help="these, which were printed before")
    sheet.add_argument(
        "--layout",
        default="L7651",
        metavar="NAME",
        help="L7651 (default), L7636, L7654, 5160; or WxH in mm, a roll; or [letter:]WxH:COLUMNSxROWS[+GAPxGAP]",
    )
    sheet.add_argument("--reason", default="", help="why labels are printed again")
    sheet.add_argument("--operator", default="", metavar="NAME", help="who prints (default: who is logged in)")

    void = verb(label, "void", _label_void, "take out a label that was spoiled before a board bore it", data=True)
    void.add_argument("--lot", required=True)
    void.add_argument("label", metavar="LABEL|DEVEUI|SERIAL")
    decided(void)


def add_close(lot: Any) -> None:
    """Declare `lot close`."""
    close = verb(lot, "close", _lot_close, "count a lot's labels and boards, and take no new ones", data=True)
    close.add_argument("lot")
    decided(close)


def _positive(text: str) -> int:
    # No lot has so many labels as a number of 20 digits says, and Python reads no number of 4301.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no number from 1 on")
    return int(text)


# --- label sheet ---


@dataclass(frozen=True)
class _Job:
    """Labels to print, by their numbers from 1 on."""

    numbers: Sequence[int]
    left_out: Sequence[int] = ()
    """On a board or void."""
    printed: int = 0
    """So many were printed before."""
    again: bool = False
    """Some of them were."""

    @property
    def upto(self) -> int:
        """So many are printed afterwards."""
        return max([self.printed, *self.numbers, *self.left_out])


def _label_sheet(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot
    from lorafab.report.label_sheet import Sticker, label_sheet, layout_named
    from lorafab.stores.atomic import write_file

    lot, layout = load_lot(options.root, options.lot), layout_named(options.layout)
    _refuse_file(options.out, replace=lot.kind == "demo")
    ledger = None if lot.kind == "demo" else _own_ledger(options, lot)
    job = _Job(_asked(options, lot, 1)) if ledger is None else _tracked(options, lot, ledger)
    stickers = [
        Sticker(lot.label_text(number - 1), lot.dev_eui_of(number - 1), lot.serial_of(number - 1))
        for number in job.numbers
    ]
    sheet = label_sheet(stickers, lot.lot, layout, lot.symbology) if stickers else None
    if ledger is not None:
        _note(options, lot, ledger, job)
    if sheet is not None:
        try:
            write_file(options.out, sheet.pdf, StationError)
        except StationError as error:
            raise StationError(f"{error}{_noted(job) if ledger else ''}") from error
    return _said(options, job, sheet, tracked=ledger is not None)


def _refuse_file(path: Path, *, replace: bool) -> None:
    """Labels in a file count as printed, though perhaps nobody printed it yet: only a demo's sheet is replaced."""
    if not path.parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist; make it, or correct --out")
    if not path.exists():
        return
    if not (replace and path.is_file()):
        raise UsageError(f"{path} exists, and its labels may not be on paper yet; name another file with --out")
    with path.open("rb") as file:
        if file.read(5) not in (b"%PDF-", b""):
            raise UsageError(f"{path} exists and is no PDF, so it is not replaced; name another file with --out")


def _asked(options: argparse.Namespace, lot: "LotConfig", start: int) -> Sequence[int]:
    """Numbers that the command names, or all from ``start`` on. Raises UsageError, LabelRefused."""
    if options.only is not None:
        if options.first is not None or options.count is not None:
            raise UsageError("--only came with --first or --count, wanted one way to name labels; drop the other")
        return list(dict.fromkeys(_number_of(lot, text) for text in options.only))
    first = options.first or start
    last = lot.quantity if options.count is None else first + options.count - 1
    if first > lot.quantity or last > lot.quantity:
        raise UsageError(
            f"labels {first} to {max(first, last)} were asked for, lot {lot.lot} has {start} to {lot.quantity} left; "
            "correct --first or --count"
        )
    if last - first >= _MOST:
        raise UsageError(f"{last - first + 1} labels were asked for, wanted at most {_MOST} in a file; give --count")
    return range(first, last + 1)


def _tracked(options: argparse.Namespace, lot: "LotConfig", ledger: "BaseLedger") -> _Job:
    """Print what was not printed yet; what was, again only for a reason. Raises UsageError, LabelRefused."""
    from lorafab.run.station import is_used

    printed = ledger.lot(lot.lot).printed
    if printed >= lot.quantity and options.only is None and options.first is None:
        raise UsageError(
            f"all {printed} labels of lot {lot.lot} were printed; to print some again name them with --only or "
            "--first, and give --reason and --operator"
        )
    numbers = _asked(options, lot, printed + 1)
    again = min(numbers) <= printed
    if again and not (options.reason.strip() and options.operator.strip()):
        raise UsageError(
            f"labels 1 to {printed} of lot {lot.lot} were printed before, and two boards must not get the same one; "
            "to print some again give --reason and --operator"
        )
    if options.only is not None:
        for number in numbers:
            _refuse_useless(lot, ledger, number, printed)
        return _Job(numbers, printed=printed, again=True)
    if min(numbers) > printed + 1:
        raise UsageError(
            f"label {min(numbers)} of lot {lot.lot} is not next: {printed} were printed; print from label "
            f"{printed + 1} on"
        )
    left_out = [number for number in numbers if is_used(lot, ledger, number - 1)]
    free = sorted(set(numbers).difference(left_out))
    if again and not free:
        raise UsageError(
            f"labels {_listed(numbers)} of lot {lot.lot} are all on boards or void; name those that a board needs "
            "again with --only"
        )
    return _Job(free, left_out, printed, again)


def _refuse_useless(lot: "LotConfig", ledger: "BaseLedger", number: int, printed: int) -> None:
    """A label that is named may be on a board, which needs a new sticker, but not be out of use."""
    name = f"label {number} of lot {lot.lot} (serial {lot.serial_of(number - 1)})"
    if number > printed:
        raise UsageError(f"{name} was not printed yet; print from label {printed + 1} on, without --only")
    dev_eui = lot.dev_eui_of(number - 1)
    found = ledger.find(str(dev_eui or lot.serial_of(number - 1)))
    if found is not None and found["state"] in ("void", "scrapped"):
        raise UsageError(f"{name} is {found['state']}, and no board may bear it any more; print another label")


def _note(options: argparse.Namespace, lot: "LotConfig", ledger: "BaseLedger", job: _Job) -> None:
    """Before the file is there: a crash in between costs numbers on paper, never a label printed twice."""
    what = f"labels {_listed([*job.numbers, *job.left_out])}"
    ledger.note_printed(
        lot.lot,
        job.upto,
        after=job.printed,
        reason=f"{what} again: {options.reason}" if job.again else options.reason or what,
        operator=options.operator or _login(),
    )


def _noted(job: _Job) -> str:
    return (
        f"; labels {_listed(job.numbers)} count as printed already, so name them with --only or --first, a reason and "
        "an operator"
    )


def _login() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return f"uid {os.getuid()}"  # of no name, as in some containers


def _said(options: argparse.Namespace, job: _Job, sheet: "Sheet | None", *, tracked: bool) -> object:
    return {
        "file": str(options.out) if sheet else None,
        "labels": len(job.numbers),
        "numbers": _listed(job.numbers),
        "left_out": _listed(job.left_out),
        "printed": job.upto if tracked else None,
        "pages": sheet.pages if sheet else 0,
        "symbol": sheet.symbol if sheet else None,
        "module_mm": round(sheet.module, 3) if sheet else None,
    }


def _listed(numbers: Sequence[int]) -> str:
    """``1 to 4, 7``; empty for none."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)


# --- label void ---


def _label_void(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot
    from lorafab.domain.label import parse_label
    from lorafab.interfaces import ClaimRequest

    lot = load_lot(options.root, options.lot)
    number = _number_of(lot, options.label)
    dev_eui, serial = lot.dev_eui_of(number - 1), lot.serial_of(number - 1)
    if dev_eui is None:
        raise UsageError(
            f"labels of lot {lot.lot} name no DevEUI, under which the ledger would keep them void; throw the label "
            "away, it stays open when the lot is closed"
        )
    ledger = _own_ledger(options, lot)
    printed = _printed(lot, ledger)
    if number > printed:
        raise UsageError(
            f"label {number} of lot {lot.lot} (serial {serial}) was not printed yet, {printed} were; name one that was"
        )
    claim = ledger.void(
        ClaimRequest(
            dev_eui=dev_eui,
            join_eui=lot.join_eui,
            serial=serial,
            label=parse_label(lot.label_text(number - 1)).text_redacted,
            chip_id="",
            lot=lot.lot,
            run="",
            station="",
            operator=options.operator,
        ),
        reason=options.reason,
    )
    return {"dev_eui": str(claim.dev_eui), "serial": serial, "state": claim.state}


# --- lot close ---


def _lot_close(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot

    lot = load_lot(options.root, options.lot)
    ledger = _own_ledger(options, lot)
    found = _counted(lot, ledger)
    reason = "; ".join(str(part) for part in (options.reason, found["count"], found["finding"]) if part)
    ledger.close_lot(lot.lot, reason=reason, operator=options.operator)
    # Once more: a board may have been claimed or passed between counting and closing.
    return {"lot": lot.lot, "closed": True, **_counted(lot, ledger)}


def _counted(lot: "LotConfig", ledger: "BaseLedger") -> dict[str, object]:
    """Count labels and boards; labels that were printed elsewhere are among the printed ones, and a finding."""
    printed = _printed(lot, ledger)
    foreign = [document for document in ledger.documents(lot.lot) if not _is_printed(lot, document, printed)]
    count = ledger.count(lot.lot, printed + len(foreign))
    first = min(foreign, key=lambda document: document.dev_eui, default=None)
    return {
        **vars(count),
        "count": f"{count.printed} printed = {count.passed} passed + {count.scrapped} scrapped + {count.void} void + "
        f"{count.open} open",
        "finding": first
        and f"{len(foreign)} labels in the ledger are not among the {printed} that were printed here (the first: "
        f"DevEUI {first.dev_eui}, {first.state}, run {first.run or '-'}), wanted none; find out who printed them",
    }


def _is_printed(lot: "LotConfig", document: "ClaimDocument", printed: int) -> bool:
    from lorafab.domain.identity import Eui64

    index = lot.index_of(Eui64.parse(document.dev_eui))
    if index is None:
        index = lot.index_of_serial(document.serial)
    return index is not None and index < printed


# --- shared ---


def _own_ledger(options: argparse.Namespace, lot: "LotConfig") -> "BaseLedger":
    from lorafab.run.station import check_ledger

    ledger = open_ledger(options, read_only=False)
    check_ledger(lot, ledger)
    return ledger


def _printed(lot: "LotConfig", ledger: "BaseLedger") -> int:
    """Labels 1 to this number are on paper."""
    return lot.quantity if lot.kind == "demo" else ledger.lot(lot.lot).printed


def _number_of(lot: "LotConfig", text: str) -> int:
    """Number, from 1 on, of the label that has this text, DevEUI or serial. Raises LabelRefused."""
    from lorafab.steps.label import identify, read_label

    index = lot.index_of_serial(text.strip())
    if index is None:
        found = identify(read_label(text, lot), lot)
        index = lot.index_of_serial(found.serial) if found.dev_eui is None else lot.index_of(found.dev_eui)
    if index is None:
        raise UsageError(f"that is the DevEUI of a chip, and labels of lot {lot.lot} carry serials; give the serial")
    return index + 1
