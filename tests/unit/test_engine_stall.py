"""Slow is not stuck."""

from __future__ import annotations

from trunkline.engine.stall import NextToken, Slot, StallDetector


def slot(*, decoded: int, read: int = 10, task: int = 1, busy: bool = True) -> Slot:
    return Slot(
        id=0,
        n_ctx=4096,
        is_processing=busy,
        id_task=task,
        n_prompt_tokens_processed=read,
        next_token=(NextToken(decoded),),
    )


def verdicts(*looks: tuple[float, list[Slot] | None]) -> list[bool]:
    detector = StallDetector(stall_s=10, now=0)
    return [detector.stalled(slots, now=now) for now, slots in looks]


def test_a_busy_slot_without_progress_is_a_stall():
    looks = [(now, [slot(decoded=5)]) for now in (0.0, 9.0, 10.0)]
    assert verdicts(*looks) == [False, False, True]


def test_any_progress_starts_the_time_anew():
    assert verdicts(
        (0, [slot(decoded=0, read=10)]),
        (9, [slot(decoded=0, read=20)]),
        (18, [slot(decoded=1, read=20)]),
        (27, [slot(decoded=1, read=20, task=2)]),
        (36, [slot(decoded=1, read=20, task=2)]),
        (37, [slot(decoded=1, read=20, task=2)]),
    ) == [False, False, False, False, False, True]


def test_an_idle_slot_never_stalls():
    looks = [(now, [slot(decoded=5, busy=False)]) for now in (0.0, 100.0, 200.0)]
    assert verdicts(*looks) == [False, False, False]


def test_a_loop_that_does_not_answer_is_given_the_same_time():
    assert verdicts((5, []), (14, None), (15, None)) == [False, False, True]
    assert verdicts((5, []), (14, None), (14.5, []), (20, None)) == [False, False, False, False]
