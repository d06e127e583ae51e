"""The pytest plugin: one board is one session. PYTEST_DONT_REWRITE

Options, fixtures, and the door between pytest and a run. What happens during the run is in `production`.
There is no pytest entry point: `-p lorafab.plugin` stands in addopts (docs/decisions/0002-plugin-loading.md).
"""

import io
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from lorafab.domain.image import Image
from lorafab.domain.label import Label
from lorafab.domain.measurement import Measurement, Value
from lorafab.domain.memory_map import MemoryMap
from lorafab.domain.verdict import Verdict
from lorafab.errors import UsageError
from lorafab.interfaces import ChipInfo, Ledger, Programmer
from lorafab.production import (
    OPTIONAL,
    PRODUCTION,
    Production,
    is_production_item,
    shut_what_could_print_a_key,
    step_of,
)
from lorafab.run.outcome import Cause
from lorafab.run.rehearsal import SAID, rehearse
from lorafab.run.run import Run
from lorafab.run.session import Session
from lorafab.run.signals import Signals
from lorafab.run.station import Options, Station
from lorafab.screen import LastingOutput, show_verdict
from lorafab.steps.flash import PERMIT_MASS_ERASE
from lorafab.steps.identity import PERMIT_OVERWRITE, Assignment
from lorafab.steps.lock import PERMIT_UNLOCK
from lorafab.steps.shell import Shell

PERMITS = (PERMIT_OVERWRITE, PERMIT_MASS_ERASE, PERMIT_UNLOCK)
_SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the line."""
    group = parser.getgroup("lorafab", "lorafab: one board on a production line")
    group.addoption("--station", metavar="NAME", help="run one board at stations/NAME.yaml")
    group.addoption("--label", metavar="TEXT", help="text of the board's label, instead of the station's scanner")
    group.addoption("--label-image", metavar="FILE", type=Path, help="picture of the board's label")
    group.addoption("--lot", metavar="LOT", help="stations/lots/LOT.yaml, instead of the station's own lot")
    group.addoption("--operator", metavar="NAME", default="", help="who runs the board; kept in the record")
    group.addoption("--data", metavar="DIR", default="data", help="data folder (default: data)")
    group.addoption(
        "--permit",
        metavar="NAME:REASON",
        action="append",
        default=[],
        help=f"allow one dangerous act, with a reason that is kept in the record ({', '.join(PERMITS)})",
    )
    group.addoption(
        "--plan-only", action="store_true", help="show what the flash session would do with this board; write nothing"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known that production tests use."""
    config.addinivalue_line("markers", f"{OPTIONAL}: a step of the production line that a product's plan may leave out")


def _is_run(config: pytest.Config) -> bool:
    """Whether this is a board's run, and not the unit suite, `--help` or a look at the tests."""
    option = config.option
    looks = ("help", "version", "collectonly", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow")
    return option.station is not None and not any(getattr(option, name, None) for name in looks)


def _options(config: pytest.Config) -> Options:
    option = config.option
    if option.label is not None and option.label_image is not None:
        raise UsageError("--label and --label-image both name a label; give one of them")
    for name in ("station", "lot", "data"):
        if getattr(option, name) == "":
            raise UsageError(f"--{name}= is empty; name one, or leave the option out")
    for text in (option.operator, *option.permit):
        if not text.isprintable():
            raise UsageError(f"{text!r} holds characters that cannot be kept; write it in plain letters")
    permits = []
    for text in option.permit:
        name, _, reason = text.partition(":")
        if name not in PERMITS:
            raise UsageError(f"there is no permit {name!r}; known permits: {', '.join(PERMITS)}")
        if not reason.strip():
            raise UsageError(f"--permit={text!r} gives no reason; write --permit=NAME:REASON, the reason is recorded")
        permits.append((name, reason.strip()))
    image = option.label_image
    return Options(
        label=option.label,
        label_image=None if image is None else config.invocation_params.dir / image,
        operator=option.operator,
        permits=tuple(permits),
        plan_only=option.plan_only,
    )


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """Wrap everything: what follows the yield runs after the summary, the JUnit file and all finalizers."""
    if not _is_run(config):
        return (yield)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(config.rootpath / PRODUCTION)]  # from a subfolder too, where testpaths does not count
    # Before pytest's terminal reporter takes hold of it.
    output = LastingOutput(sys.stdout or sys.__stderr__ or io.StringIO())
    sys.stdout = cast(TextIO, output)
    session = config.stash[_SESSION] = Session()
    signals = Signals(session)
    signals.install()
    config.pluginmanager.register(Production(session, signals), "lorafab-production")
    try:
        yield
    except pytest.UsageError as error:
        session.blame(Cause(Verdict.USAGE, "USAGE", str(error)))
    except BaseException as error:  # an escaped Ctrl-C or a finalizer's error must not skip the record
        session.blame_error(error)
    with signals.held():
        session.end()
        sys.stdout = cast(TextIO, output)  # pytest's capture has put the bare one back
        show_verdict(session, output)
    return session.verdict.status


@pytest.hookimpl(tryfirst=True, specname="pytest_cmdline_main")
def pytest_begin_run(config: pytest.Config) -> int | None:
    """Begin the run; where it cannot begin, pytest's own session is not entered.

    A second implementation of the hook: a wrapper alone cannot keep pytest from starting.
    """
    session = config.stash.get(_SESSION, None)
    if session is None:
        return None
    try:
        option = config.option
        shut_what_could_print_a_key(config)
        session.begin(config.rootpath, option.station, option.lot, Path(option.data), _options(config))
        if option.plan_only and session.run is not None and session.may_start:
            print(rehearse(session.run).text())
            session.blame(Cause(Verdict.INCOMPLETE, "PLAN", SAID))
    except BaseException as error:
        session.blame_error(error)
    return None if session.may_start else session.verdict.status


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Production steps without a station are a usage error, never a pass or a skip."""
    looking = config.option.station is not None or config.option.collectonly
    if not looking and any(map(is_production_item, items)):
        known = ", ".join(sorted(path.stem for path in (config.rootpath / "stations").glob("*.yaml"))) or "none yet"
        raise pytest.UsageError(
            f"tests_production/ runs one board and needs --station=NAME (stations here: {known}); "
            "the unit suite is `pytest tests_unit`"
        )


# --------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """The run of the board in the jig; its hardware is let go when the last step has ended."""
    session = request.config.stash.get(_SESSION, None)
    if session is None or session.run is None:
        pytest.fail("this fixture needs a board; run it with --station=NAME")
    yield session.run
    session.run.station.close()


@pytest.fixture(scope="session")
def station(run: Run) -> Station:
    """The station: its configuration, stores and drivers."""
    return run.station


@pytest.fixture(scope="session")
def label(run: Run) -> Label:
    """The label on the board, scanned once."""
    return run.label


@pytest.fixture(scope="session")
def programmer(run: Run) -> Programmer:
    """The programmer; asking for it powers the board."""
    return run.programmer


@pytest.fixture(scope="session")
def chip(run: Run, label: Label) -> ChipInfo:
    """The chip in the jig, checked against the product; the label is known before it is touched."""
    return run.chip


@pytest.fixture(scope="session")
def memory(run: Run) -> MemoryMap:
    """Where the product keeps code, identity and NVM."""
    return run.station.memory


@pytest.fixture(scope="session")
def image(run: Run) -> Image:
    """The firmware image, checked before any hardware was touched."""
    return run.image


@pytest.fixture(scope="session")
def identity(run: Run, chip: ChipInfo) -> Assignment:
    """The identity of this label on this chip; durable in the ledger, and the key sealed."""
    return run.assignment


@pytest.fixture(scope="session")
def ledger(run: Run) -> Ledger:
    """Who got which identity."""
    return run.station.ledger


@pytest.fixture(scope="session")
def shell(run: Run) -> Shell:
    """The firmware's shell, after a reset; the serial line is open before the board says its first word."""
    return run.shell


@pytest.fixture
def measure(request: pytest.FixtureRequest, run: Run) -> Callable[[str, Value], Measurement]:
    """Record and judge one declared measurement: ``measure(name, value)``."""
    test = step_of(request.node)
    return lambda name, value: run.measure(test, name, value)
