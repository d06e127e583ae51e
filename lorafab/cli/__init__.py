"""The command `lorafab <noun> <verb>`: what is asked between boards. Boards themselves are run by pytest.

Read commands take ``--json`` and print one JSON document. Errors go to stderr as one sentence; exit status 1 for bad
input, 4 for a command or file that must be corrected first. One module a noun.
"""

import os
import sys
from collections.abc import Sequence

from lorafab.cli import bench, export, label, ledger, lot, station, vault
from lorafab.cli.command import Parser, show
from lorafab.errors import LorafabError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        result = options.handler(options)
        if result is not None:
            show(result, as_json=getattr(options, "json", False))
    except UsageError as error:
        print(f"lorafab: {error}", file=sys.stderr)
        return 4
    except LorafabError as error:
        print(f"lorafab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lorafab: a person stopped the command; what it had done by then stays, start it again", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"lorafab: {error.filename or 'a file'}: {error.strerror}; check the path and the disk", file=sys.stderr)
        return 1
    return 0


def _parser() -> Parser:
    parser = Parser(prog="lorafab", description="The production line for LoRaWAN end nodes that runs inside pytest.")
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="NOUN")
    for module in (label, lot, ledger, vault, export, station, bench):
        module.add(nouns)
    return parser
