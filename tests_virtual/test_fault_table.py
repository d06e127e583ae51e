"""Faults on the whole line: a few of the rows of `python -m bench.faults`, which runs them all."""

from pathlib import Path

import pytest

from bench.faults import CASES, Case, Row, Shown, run_case, table

# One for each way in which a fault reaches the operator: link, identity, memory, core, line, nest.
CHOSEN = (
    "no_ack@transfer:1500",
    "dpidr=0x0BC11477",
    "power_cut@word:37",
    "key_lock",
    "lockup@byte:1",
    "uart=drop@byte:36",
)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.fault in CHOSEN], ids=lambda case: case.fault)
def test_switched_on_it_has_its_outcome_and_switched_off_the_board_passes(tmp_path: Path, case: Case) -> None:
    """The verdict, the sentence that the operator reads, and the rerun of the same board."""
    row = run_case(tmp_path, case)
    assert not row.trouble


def test_the_chosen_ones_are_rows() -> None:
    """A row that is renamed must not drop out of the tests."""
    assert {case.fault for case in CASES} >= set(CHOSEN)


@pytest.mark.parametrize(
    ("on", "off", "says"),
    [
        (Shown(0, ""), Shown(0, ""), "PASS, wanted FAIL"),
        (Shown(1, "too bad"), Shown(0, ""), "lacks 'silent'"),
        (Shown(1, "is silent"), Shown(3, "jammed"), "ERROR without it: jammed"),
        (Shown(1, "is silent"), Shown(0, ""), ""),
    ],
)
def test_a_row_that_is_not_as_it_should_be_is_told(on: Shown, off: Shown, says: str) -> None:
    """Wrong verdict, wrong sentence, or a fault that stays; a good row is quiet."""
    row = Row(Case("uart=silent", "FAIL", "silent"), on, off)
    assert says in row.trouble
    assert bool(row.trouble) == bool(says)
    assert f"| `uart=silent` | {off.verdict} | {on.verdict} |" in table([row])
