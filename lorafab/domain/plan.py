"""The plan: the ordered steps of a product, and the measurements that each one owes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lorafab.domain.measurement import Spec
from lorafab.errors import PlanError


@dataclass(frozen=True)
class Step:
    """One production operation: ``test`` is ``<module>::<function>`` below tests_production/."""

    test: str
    title: str
    measurements: tuple[Spec, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All steps, in the order in which they must run."""

    steps: tuple[Step, ...]

    def step(self, test: str) -> Step | None:
        """Find a step by its test."""
        return next((step for step in self.steps if step.test == test), None)

    def check_collected(self, collected: Sequence[str]) -> None:
        """Hold what pytest found against the plan.

        Tests of a selection may be missing (the run is then INCOMPLETE), but none may be unknown, twice, or out
        of order. Raises PlanError.
        """
        known = [step.test for step in self.steps]
        if unknown := [test for test in collected if test not in known]:
            raise PlanError(
                f"test {unknown[0]} is not in the product's plan; add it to `plan:` in product.yaml or remove the test"
            )
        order = [known.index(test) for test in collected]
        for before, after in itertools.pairwise(order):
            if after <= before:
                raise PlanError(
                    f"test {known[after]} came after {known[before]}, but the plan wants it before; "
                    "run the line without reordering options and with one test per step"
                )
