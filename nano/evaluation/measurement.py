"""Runs the checks and counts: scores, the guide's prompts, the lengths of the reasoning, loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from statistics import fmean

import msgspec

from nano.evaluation import catalogue
from nano.evaluation.cases import effort, guide, long_prompt
from nano.evaluation.catalogue import EFFORT, GUIDE, LOOPS, SKILLS, Category
from nano.evaluation.runner import Asker, Outcome
from nano.evaluation.server import Candidate


class Score(msgspec.Struct, frozen=True):
    """How many checks passed, and how many percent must."""

    key: str
    title: str
    passed: int
    asked: int
    target: int

    @property
    def ok(self) -> bool:
        return 100 * self.passed >= self.target * self.asked


class Reasoning(msgspec.Struct, frozen=True):
    """Mean characters of reasoning at one effort; ``step`` is how many times the effort below."""

    effort: str
    characters: float
    step: float | None

    @property
    def ok(self) -> bool:
        return self.step is None or self.step >= catalogue.STEP_TARGET


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run has found.

    ``prompt_tokens`` are those of the shortest and the longest of the long prompts, None if none
    was asked.
    """

    candidate: Candidate
    scores: list[Score]
    guide: list[Score]
    reasoning: list[Reasoning]
    prompt_tokens: tuple[int, int] | None
    failures: list[Outcome]

    @property
    def ok(self) -> bool:
        scored = all(score.ok for score in (*self.scores, *self.guide))
        return scored and all(one.ok for one in self.reasoning)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: the keys of categories, at most ``count`` checks of each, runs of the guide."""

    only: Collection[str]
    count: int | None
    guide_runs: int


def measure(
    asker: Asker, candidate: Candidate, plan: Plan, *, tell: Callable[[int, int], None]
) -> Measured:
    """Runs what is planned. ``tell`` is called with how many checks are done, and of how many."""
    categories = _categories(asker, plan)
    prompts = guide.checks(plan.guide_runs if GUIDE in plan.only else 0)
    efforts = {name: effort.checks(name) for name in effort.EFFORTS if EFFORT in plan.only}
    keyed = [
        *((category.key, check) for category in categories for check in category.checks),
        *((title, check) for title, checks in prompts.items() for check in checks),
        *((name, check) for name, checks in efforts.items() for check in checks),
    ]
    outcomes = asker.run(keyed, tell=_counting(tell, len(keyed)))
    return Measured(
        candidate=candidate,
        scores=list(scores(categories, outcomes)),
        guide=[score(title, title, 100, outcomes) for title, checks in prompts.items() if checks],
        reasoning=reasoning(outcomes) if efforts else [],
        prompt_tokens=_long_prompts(outcomes),
        failures=[outcome for outcome in outcomes if outcome.fault is not None],
    )


def scores(categories: Sequence[Category], outcomes: Sequence[Outcome]) -> Iterator[Score]:
    """Yields each category's score, that of all skills together, and that of loops."""
    for category in categories:
        yield score(category.key, category.title, category.target, outcomes)
    skilled = [outcome for outcome in outcomes if outcome.category in SKILLS]
    if skilled:
        passed = sum(outcome.fault is None for outcome in skilled)
        yield Score("overall", "overall", passed, len(skilled), catalogue.OVERALL_TARGET)
    reasons = Counter(said.finish_reason for outcome in outcomes for said in outcome.transcript)
    asked = reasons.total()
    yield Score(LOOPS, "all answers: no endless loop", asked - reasons["length"], asked, 100)


def score(key: str, title: str, target: int, outcomes: Sequence[Outcome]) -> Score:
    """Returns the score of one category."""
    mine = [outcome.fault is None for outcome in outcomes if outcome.category == key]
    return Score(key, title, sum(mine), len(mine), target)


def reasoning(outcomes: Sequence[Outcome]) -> list[Reasoning]:
    """Returns how long the reasoning was at each effort, from the least to the highest."""
    means = {
        name: fmean(
            len(outcome.transcript[0].reasoning) for outcome in outcomes if outcome.category == name
        )
        for name in effort.EFFORTS
    }
    steps: list[float | None] = [None]
    steps += [above / below if below else 0.0 for below, above in pairwise(means.values())]
    return [
        Reasoning(name, mean, step) for (name, mean), step in zip(means.items(), steps, strict=True)
    ]


def _categories(asker: Asker, plan: Plan) -> list[Category]:
    density = asker.characters_per_token("".join(long_prompt.PROSE))
    return [
        category
        if plan.count is None
        else msgspec.structs.replace(category, checks=catalogue.sample(category.checks, plan.count))
        for category in catalogue.categories(density)
        if category.key in plan.only
    ]


def _long_prompts(outcomes: Sequence[Outcome]) -> tuple[int, int] | None:
    sizes = [
        outcome.transcript[0].prompt_tokens for outcome in outcomes if outcome.category == "long"
    ]
    return (min(sizes), max(sizes)) if sizes else None


def _counting(tell: Callable[[int, int], None], total: int) -> Callable[[], None]:
    done: list[None] = []  # appending is atomic: several threads tell

    def one_more() -> None:
        done.append(None)
        tell(len(done), total)

    return one_more
