"""lorafab.domain.plan: the tests that run are the steps of the plan, in their order."""

import pytest

from lorafab.domain.plan import Plan, Step
from lorafab.errors import PlanError

PLAN = Plan(tuple(Step(f"test_{n}::test_{name}", name) for n, name in ((10, "a"), (20, "b"), (30, "c"))))
A, B, C = (step.test for step in PLAN.steps)


def test_a_step_is_found_by_its_test() -> None:
    """And a test outside of the plan is none."""
    assert PLAN.step(B) == PLAN.steps[1]
    assert PLAN.step("test_99::test_x") is None


@pytest.mark.parametrize("collected", [[], [A], [A, C], [A, B, C]])
def test_a_selection_in_order_is_taken(collected: list[str]) -> None:
    """What is missing makes the run incomplete, which is decided elsewhere."""
    PLAN.check_collected(collected)


@pytest.mark.parametrize(
    ("collected", "sentence"),
    [
        ([A, "test_15::test_x"], "test test_15::test_x is not in the product's plan; add it to `plan:`"),
        ([B, A], f"test {A} came after {B}, but the plan wants it before"),
        ([A, B, B], f"test {B} came after {B}"),
    ],
)
def test_unknown_repeated_and_reordered_tests_are_refused(collected: list[str], sentence: str) -> None:
    """A production run has no surprises in it."""
    with pytest.raises(PlanError) as caught:
        PLAN.check_collected(collected)
    assert sentence in str(caught.value)
