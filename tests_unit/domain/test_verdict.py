"""lorafab.domain.verdict: the exit status and the advice of each verdict (the README's table)."""

import pytest

from lorafab.domain.verdict import Verdict

STATUS = {"PASS": 0, "FAIL": 1, "ABORTED": 2, "ERROR": 3, "USAGE": 4, "INCOMPLETE": 5, "INTERRUPTED": 3}


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_its_status(verdict: Verdict) -> None:
    """Scripts and line controllers rely on the numbers."""
    assert verdict.status == STATUS[verdict.value]


def test_only_pass_is_zero_and_no_two_shown_verdicts_share_a_number() -> None:
    """INTERRUPTED stands in records only: the process that found it has a verdict of its own."""
    shown = [verdict for verdict in Verdict if verdict is not Verdict.INTERRUPTED]
    assert [verdict for verdict in shown if verdict.status == 0] == [Verdict.PASS]
    assert len({verdict.status for verdict in shown}) == len(shown)


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_says_what_to_do_next(verdict: Verdict) -> None:
    """One sentence with an end."""
    assert verdict.advice.endswith(".")
    assert "\n" not in verdict.advice


def test_only_a_fail_sets_a_board_aside() -> None:
    """No other verdict may scrap a board."""
    assert [verdict for verdict in Verdict if "aside" in verdict.advice] == [Verdict.FAIL]
    for verdict in (Verdict.ABORTED, Verdict.ERROR, Verdict.INCOMPLETE, Verdict.INTERRUPTED):
        assert "run this board again" in verdict.advice


def test_a_verdict_is_its_word() -> None:
    """In records and on the last line."""
    assert f"{Verdict.PASS}" == "PASS"
    assert Verdict("FAIL") is Verdict.FAIL
