"""What the evaluation counts and prints, and the part of the model card that it writes."""

from __future__ import annotations

import msgspec
import pytest

from nano.evaluation.catalogue import Category
from nano.evaluation.check import Call, Check, Said, Says, user
from nano.evaluation.measurement import Measured, Reasoning, Score, reasoning, scores
from nano.evaluation.report import END, START, failure, report, with_report
from nano.evaluation.runner import Outcome
from nano.evaluation.server import Candidate

CHECK = Check(messages=[user("How high?")], expected=Says(("7",)))
FILE = Candidate(path="/x/y.gguf", sha256="ab12", size_bytes=2_500_000, vocabulary=1280, context=64)


def outcome(category: str, *said: Said, fault: str | None = None) -> Outcome:
    return Outcome(category, CHECK, said or (Said(finish_reason="stop"),), fault)


def measured(**changes: object) -> Measured:
    whole = Measured(
        candidate=FILE,
        scores=[Score("memory", "remembered", 19, 20, 95), Score("overall", "overall", 2, 3, 85)],
        guide=[Score("hello", "hello", 20, 20, 100)],
        reasoning=[Reasoning("low", 10.4, None), Reasoning("medium", 20.0, 1.92)],
        prompt_tokens=(1500, 2499),
        failures=[],
    )
    return msgspec.structs.replace(whole, **changes)


def test_a_target_is_met_exactly_or_missed():
    assert Score("x", "x", 19, 20, 95).ok
    assert not Score("x", "x", 94_999, 100_000, 95).ok
    assert not Score("x", "x", 99, 100, 100).ok


def test_scores_count_each_category_the_skills_together_and_the_loops():
    endless = Said(finish_reason="length")
    outcomes = [
        outcome("memory"),
        outcome("memory", fault="lacks 7"),
        outcome("two-calls", Said(finish_reason="tool_calls"), endless, fault="loops"),
        outcome("open", endless, fault="loops"),
        outcome("hello to the world"),
    ]
    categories = [
        Category("memory", "remembered", 95, (CHECK,)),
        Category("open", "open", 100, (CHECK,)),
    ]
    assert [(score.key, score.passed, score.asked) for score in scores(categories, outcomes)] == [
        ("memory", 1, 2),
        ("open", 0, 1),
        ("overall", 1, 3),
        ("loops", 4, 6),
    ]


def test_reasoning_is_the_mean_length_and_the_step_from_the_effort_below():
    outcomes = [
        outcome(effort, Said(reasoning="x" * length))
        for effort, lengths in (("low", (10, 30)), ("medium", (50, 50)), ("high", (60, 60)))
        for length in lengths
    ]
    found = reasoning(outcomes)
    assert found == [
        Reasoning("low", 20.0, None),
        Reasoning("medium", 50.0, 2.5),
        Reasoning("high", 60.0, 1.2),
    ]
    assert [one.ok for one in found] == [True, True, False]


def test_reasoning_that_is_missing_below_is_no_step():
    outcomes = [
        outcome(effort, Said(reasoning=text))
        for effort, text in (("low", ""), ("medium", "x"), ("high", "xx"))
    ]
    assert [one.ok for one in reasoning(outcomes)] == [True, False, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"guide": [Score("hello", "hello", 19, 20, 100)]},
        {"reasoning": [Reasoning("low", 10.0, None), Reasoning("medium", 12.0, 1.2)]},
        {"scores": [Score("memory", "remembered", 18, 20, 95)]},
    ],
)
def test_a_run_is_fine_only_if_every_target_is_met(changes):
    fine = {"scores": [Score("memory", "remembered", 19, 20, 95)]}
    assert measured(**fine).ok
    assert not measured(**{**fine, **changes}).ok


def test_the_report_is_a_table_in_a_terminal_and_in_markdown():
    assert report(measured()) == (
        "`y.gguf`: 2.50 MB, 1,280 tokens, context 64, sha256 `ab12`\n"
        "\n"
        "| what       | passed | of | percent | target |        |\n"
        "| ---------- | -----: | -: | ------: | -----: | -----: |\n"
        "| remembered |     19 | 20 |    95 % |   95 % |     ok |\n"
        "| overall    |      2 |  3 |  66.6 % |   85 % | MISSED |\n"
        "\n"
        "| the guide's prompts, at the default temperature | passed | of | percent | target |    |\n"
        "| ----------------------------------------------- | -----: | -: | ------: | -----: | -: |\n"
        "| hello                                           |     20 | 20 |   100 % |  100 % | ok |\n"
        "\n"
        "Reasoning, mean characters: low 10, medium 20 (1.9 ×); each at least 1.3 × the one "
        "before: ok\n"
        "\n"
        "The long prompts had 1,500 to 2,499 tokens.\n"
    )


def test_a_missed_target_is_never_rounded_to_it():
    text = report(measured(scores=[Score("x", "x", 9_999, 10_000, 100)]))
    assert "99.9 %" in text
    assert "MISSED" in text


def test_a_failure_shows_what_was_asked_expected_and_got():
    said = Said(
        content="It is 8.",
        reasoning="Hm.",
        calls=(Call("measure", {"what": "Łódź"}),),
        finish_reason="stop",
    )
    text = failure(outcome("memory", said, fault="lacks 7"))
    assert text.splitlines() == [
        "✗ memory: lacks 7",
        "  user: How high?",
        "  expected: Says(values=('7',))",
        '  got: (Hm.) | measure({"what": "Łódź"}) | It is 8. | stop',
    ]


def test_the_card_gets_the_figures_between_its_comments_and_keeps_the_rest():
    card = f"# Card\n\n{START}old\n{END}\nThe end.\n"
    assert with_report(card, "new\n") == f"# Card\n\n{START}\nnew\n\n{END}\nThe end.\n"
    assert with_report(with_report(card, "new\n"), "new\n") == with_report(card, "new\n")


def test_a_card_without_the_comments_gets_them():
    assert with_report("", "new\n") == f"{START}\nnew\n\n{END}"
    assert with_report("# Card\n", "new\n") == f"# Card\n\n{START}\nnew\n\n{END}"


def test_a_card_whose_comments_are_broken_is_refused():
    with pytest.raises(ValueError, match="end of measured"):
        with_report(f"{START}old\n", "new\n")
