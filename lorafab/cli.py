"""The command `lorafab <noun> <verb>`: what is asked between boards. Boards themselves are run by pytest.

Read commands take ``--json`` and print one JSON document. Errors go to stderr as one sentence; exit status 1 for bad
input, 4 for a command or file that must be corrected first.
"""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from lorafab.errors import LabelRefused, LedgerError, LorafabError, RecordError, StationError, UsageError

_Handler = Callable[[argparse.Namespace], object]
_MAX_KHZ = 100_000  # no probe's SWD clock is faster


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `{self.prog} --help` shows what is possible")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        result = options.handler(options)
        if result is not None:
            _show(result, as_json=getattr(options, "json", False))
    except UsageError as error:
        print(f"lorafab: {error}", file=sys.stderr)
        return 4
    except LorafabError as error:
        print(f"lorafab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"lorafab: {error.filename or 'a file'}: {error.strerror}; check the path and the disk", file=sys.stderr)
        return 1
    return 0


def _show(result: object, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(result)))


def _lines(value: object, indent: str = "") -> list[str]:
    """For people: one `key: value` a line, lists below their key."""
    if isinstance(value, Mapping):
        lines: list[str] = []
        for key, item in value.items():
            if isinstance(item, (Mapping, list)) and item:
                lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
            else:
                lines.append(f"{indent}{key}: {'-' if item in (None, [], {}) else item}")
        return lines
    if isinstance(value, list):
        return [line for item in value for line in _lines(item, indent)] or [f"{indent}none"]
    return [f"{indent}{value}"]


# --- the tree of commands ---


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lorafab", description="The production line for LoRaWAN end nodes that runs inside pytest.")
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="NOUN")

    def noun(name: str, text: str) -> Any:
        return nouns.add_parser(name, help=text).add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(group: Any, name: str, handler: _Handler, text: str, *, read: bool = True, data: bool = False) -> Any:
        command = group.add_parser(name, help=text, description=text)
        command.set_defaults(handler=handler)
        command.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: this one)")
        if read:
            command.add_argument("--json", action="store_true", help="print one JSON document")
        if data:
            command.add_argument("--data", type=Path, default=Path("data"), help="data folder (default: data)")
        return command

    label = noun("label", "labels on boards")
    verb(label, "parse", _label_parse, "read the text of a label").add_argument("text", help="`-` reads stdin")
    verb(label, "decode", _label_decode, "read the picture of a label").add_argument("image", type=Path)

    lot = noun("lot", "production orders")
    verb(lot, "show", _lot_show, "one lot, with labels that it would accept", data=True).add_argument("lot")
    verb(lot, "list", _lot_list, "all lots")

    ledger = noun("ledger", "who got which identity")
    verb(ledger, "init", _ledger_init, "make an empty ledger", data=True)
    verb(ledger, "show", _ledger_show, "one identity", data=True).add_argument("key", metavar="DEVEUI|LABEL")
    verb(ledger, "list", _ledger_list, "all identities", data=True)
    rebind = verb(ledger, "rebind", _ledger_rebind, "supersede a binding after a repair", data=True)
    rebind.add_argument("dev_eui", metavar="DEVEUI")
    rebind.add_argument("--label", default="", metavar="TEXT", help="the new label, where it was replaced")
    rebind.add_argument("--chip", default="", metavar="ID", help="the new chip's unique id, where it was replaced")
    rebind.add_argument("--reason", required=True, help="kept in the ledger's history")
    rebind.add_argument("--operator", required=True, metavar="NAME", help="who decided it")
    verb(ledger, "check", _ledger_check, "hold the ledger against its own history", data=True)

    vault = noun("vault", "sealed keys")
    init = verb(vault, "init", _vault_init, "make a key pair; stations get the public half only", read=False)
    init.add_argument("--private", type=Path, required=True, metavar="FILE", help="where the private half goes")
    init.add_argument("--no-passphrase", action="store_true", help="leave the private half unencrypted")
    init.add_argument("--public", type=Path, default=Path("stations/vault.pub"), metavar="FILE")

    report = noun("report", "pages for QA, made from records")
    verb(report, "board", _report_board, "make the report of one run again", data=True).add_argument("run")

    station = noun("station", "places on the line")
    verb(station, "check", _station_check, "read a station's files and say what they mean").add_argument("name")

    bench = noun("bench", "what the virtual boards can measure")
    flash = verb(bench, "flash", _bench_flash, "flash an image to virtual boards with pyOCD; times are simulated")
    flash.add_argument("--board", action="append", metavar="NAME", help="virtual board (default: all; may be repeated)")
    flash.add_argument("--khz", action="append", type=int, metavar="N", help="SWD clock (default: 4000 and 10000)")
    flash.add_argument("--size", type=int, default=102400, metavar="BYTES", help="random image (default: 102400)")
    flash.add_argument("--image", type=Path, metavar="FILE", help="a binary image instead")
    flash.add_argument("--model", action="store_true", help="show every constant of the cost model, with its source")

    probes = nouns.add_parser("probes", help="debug probes that pyOCD sees")
    probes.set_defaults(handler=_probes)
    probes.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


# --- labels and lots ---


def _label_parse(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label

    try:
        text = sys.stdin.read() if options.text == "-" else options.text
    except UnicodeDecodeError:
        sentence = "stdin holds bytes that are no text, wanted that of a label; `lorafab label decode` reads pictures"
        raise LabelRefused(sentence) from None
    return parse_label(text).to_json()


def _label_decode(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label
    from lorafab.drivers.label_reader import LabelReader

    found = LabelReader().decode(options.image.read_bytes())
    return {**parse_label(found.text).to_json(), "reader": found.reader}


def _lot_show(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot
    from lorafab.run.station import unused_labels

    lot = load_lot(options.root, options.lot)
    ledger = _ledger_or_none(options)
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


# --- ledger and vault ---


def _data(options: argparse.Namespace) -> Path:
    folder: Path = options.root / options.data
    return folder


def _ledger_or_none(options: argparse.Namespace) -> Any:
    """A lot's labels can be shown before there is a ledger."""
    return _ledger(options) if (_data(options) / "ledger").exists() else None


def _ledger(options: argparse.Namespace, *, read_only: bool = True) -> Any:
    from lorafab.drivers.clock import SystemClock
    from lorafab.stores.ledger import TinyLedger

    return TinyLedger.open(_data(options), SystemClock(), read_only=read_only)


def _ledger_init(options: argparse.Namespace) -> object:
    from lorafab.drivers.clock import SystemClock
    from lorafab.stores.ledger import TinyLedger

    return {"ledger": TinyLedger.create(_data(options), SystemClock()).ledger_id}


def _ledger_show(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label

    ledger, key = _ledger(options), options.key.strip()
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

    label = parse_label(options.label).text_redacted if options.label else ""
    claim = _ledger(options, read_only=False).rebind(
        parse_label(options.dev_eui).dev_eui,
        label=label,
        chip_id=options.chip.upper(),
        reason=options.reason,
        operator=options.operator,
        run="",
    )
    return {"dev_eui": str(claim.dev_eui), "state": claim.state, "next_generation": len(claim.generations) + 1}


def _ledger_list(options: argparse.Namespace) -> object:
    fields = ("dev_eui", "serial", "chip_id", "lot", "state", "attempts", "run")
    return [{field: claim[field] for field in fields} for claim in _ledger(options).all_claims()]


def _ledger_check(options: argparse.Namespace) -> object:
    # Writable: a change that a kill cut short is completed first, as the next run would do.
    ledger = _ledger(options, read_only=False)
    problems = ledger.check()
    _show({"ledger": ledger.ledger_id, "head": ledger.head(), "problems": problems}, as_json=options.json)
    if problems:
        raise LedgerError(f"the ledger has {len(problems)} problems, the first: {problems[0]}; stop, and show it to QA")
    return None


def _vault_init(options: argparse.Namespace) -> object:
    from lorafab.stores.vault import create_pair

    passphrase = None if options.no_passphrase else _ask_new_passphrase()
    key_id = create_pair(options.private, options.root / options.public, passphrase)
    return {"public": str(options.public), "key_id": key_id, "private": str(options.private)}


def _ask_new_passphrase() -> bytes:
    """Ask twice; a passphrase never stands on a command line."""
    try:
        first, second = (getpass.getpass(text) for text in ("Passphrase of the private half: ", "Once more: "))
    except (EOFError, OSError):
        raise UsageError("there is no terminal to ask for a passphrase; use one, or give --no-passphrase") from None
    if not first or first != second:
        raise UsageError("the two passphrases differ or are empty; nothing was made, start again")
    return first.encode()


# --- records, stations, probes ---


def _report_board(options: argparse.Namespace) -> object:
    from lorafab.run.recording import write_report
    from lorafab.stores.records import RecordStore

    records = RecordStore(_data(options))
    record = records.get(options.run)
    if record is None:
        raise RecordError(f"there is no record of run {options.run} in {_data(options)}; check the run id and --data")
    return {"report": str(write_report(_data(options), records, record))}


def _station_check(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_station
    from lorafab.drivers.image_file import load_image

    config = load_station(options.root, options.name)
    base, manifest = config.product.image.base, config.manifest_path
    image = load_image(config.image_path, named_by=config.image_named_by, base=base, manifest=manifest)
    return {
        "station": config.station.station,
        "lot": config.lot.lot,
        "product": config.product.product,
        "image": {"file": image.name, "version": image.version, "bytes": image.size, "sha256": image.sha256},
        "plan": [f"{step.test}: {step.title}" for step in config.plan.steps],
    }


def _bench_flash(options: argparse.Namespace) -> object:
    from lorafab.virtual import bench, chips, cost

    names = options.board or list(chips.names())
    given = options.image.read_bytes() if options.image else None
    length = options.size if given is None else len(given)
    for name in names:
        size = chips.named(name).flash_size
        if not 0 < length <= size:
            raise UsageError(f"an image of {length} bytes was given, {name} takes 1 to {size}; choose another size")
    image = bench.random_image(length) if given is None else given
    clocks = options.khz or [4000, 10000]
    for khz in clocks:
        if not 1 <= khz <= _MAX_KHZ:
            raise UsageError(f"an SWD clock of {khz} kHz was given, wanted 1 to {_MAX_KHZ}; correct it")
    results = [bench.flash(name, khz, erase, image) for name in names for khz in clocks for erase in bench.WAYS]
    for one in results:
        if not one.verified:
            raise StationError(
                f"what was read back from {one.board} ({one.swd_khz} kHz, {one.erase} erase) is not the image, wanted "
                "it as it was sent: its figures mean nothing; correct the board's profile or its parts"
            )
    figures = {name: [vars(one) for one in cost.table(chips.named(name))] for name in names}
    if options.json:
        return {
            "image_bytes": len(image), "model": bench.model(names), "figures": figures,
            "results": [one.to_json() for one in results],
        }  # fmt: skip
    said = [f"{len(image)} bytes; pyOCD erases and programs all of them, then they are read back; times are simulated"]
    said += [f"cost model of {name}: {digest}" for name, digest in bench.model(names).items()]
    if options.model:
        said += [
            f"  {one['name']:32} {one['value']:>12} {one['unit']:10} {one['source']}"
            + ("" if one["verified"] else " (unverified)")
            for name in names
            for one in figures[name]
        ]
    return "\n".join([*said, bench.table(results)])


def _probes(_options: argparse.Namespace) -> object:
    from lorafab.drivers.pyocd_programmer import list_probes

    return list_probes()


if __name__ == "__main__":
    sys.exit(main())
