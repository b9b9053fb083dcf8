"""What is observed of deployments: speeds that age, cool-downs that grow, and trials one at a time."""

from __future__ import annotations

import math

import pytest

from trunkline.routing import LOCAL, Deployment, DeploymentHealth
from trunkline.routing.health import Average

A = Deployment(model="m", provider="a", upstream_model="m")
B = Deployment(model="m", provider="b", upstream_model="m")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A health with a clock that stands still, and without jitter."""

    def __init__(self, **options) -> None:
        self.clock = Clock()
        self.cooled: list[str] = []
        options = {"jitter": lambda: 0.0, "on_cooling": self.cooled.append, **options}
        self.health = DeploymentHealth(clock=self.clock, **options)

    def admitted(self, deployment=A):
        admission = self.health.admit(deployment)
        assert admission is not None
        return admission

    def fails(self, times, deployment=A, **options):
        for _ in range(times):
            self.admitted(deployment).failed(**options)

    def answers(self, *, tokens=100, first_s=0.5, seconds=1.0, deployment=A, **options):
        """A streamed reply: its first token after ``first_s``, the rest in ``seconds``."""
        admission = self.admitted(deployment)
        self.clock.now += first_s
        admission.committed(stream=True)
        self.clock.now += seconds
        admission.ended(tokens, **options)

    def cooling_s(self, deployment=A):
        return self.health.of(deployment).cooling_s


# ----------------------------------------------------------------------------------------- averages


def test_an_observation_counts_half_after_the_half_life():
    average = Average(half_life_s=10.0)
    average.add(100.0, now=0.0)
    average.add(40.0, now=10.0)
    # Weights of 1/2 and 1.
    assert average.value == pytest.approx((100**0.5 * 40) ** (1 / 1.5))


def test_the_first_observation_is_the_average_and_equal_ones_keep_it():
    average = Average(half_life_s=10.0)
    assert average.value is None
    for second in range(30):
        average.add(7.0, now=float(second))
        assert average.value == pytest.approx(7.0)


def test_however_many_came_before_a_change_shows_within_few_observations():
    average = Average(half_life_s=1e6)
    for _ in range(10_000):
        average.add(100.0, now=0.0)
    for _ in range(5):
        average.add(10.0, now=0.0)
    assert average.value is not None
    assert average.value < 45


@pytest.mark.parametrize(("before", "now"), [(5000.0, 10.0), (10.0, 5000.0)])
def test_an_extreme_past_is_outweighed_as_soon_as_a_moderate_one(before, now):
    average = Average(half_life_s=1e6)
    for _ in range(100):
        average.add(before, now=0.0)
    for _ in range(10):
        average.add(now, now=0.0)
    assert average.value is not None
    assert abs(math.log(average.value / now)) < math.log(2)


def test_what_took_no_time_at_all_can_be_averaged():
    average = Average(half_life_s=1.0)
    average.add(0.0, now=0.0)
    assert average.value == pytest.approx(1e-6)


def test_a_fall_to_less_than_half_is_told_until_it_has_become_usual():
    average = Average(half_life_s=10.0)
    told = []
    for now, observed in [(0.0, 100.0), *[(1.0, 10.0)] * 5, (200.0, 10.0)]:
        average.add(observed, now)
        told.append(average.fallen)
    assert told == [False, True, True, True, True, True, False]


def test_speed_and_first_token_are_those_of_the_stream():
    bench = Bench()
    assert bench.health.of(A).tokens_per_s is None
    bench.answers(tokens=200, first_s=0.25, seconds=2.0)
    condition = bench.health.of(A)
    assert (condition.tokens_per_s, condition.first_token_s) == pytest.approx((100.0, 0.25))
    assert bench.health.of(B) == DeploymentHealth().of(B)


def test_deployments_of_one_provider_are_measured_apart():
    bench = Bench()
    other = Deployment(model="other", provider="a", upstream_model="m")
    bench.answers()
    assert bench.health.of(other).tokens_per_s is None


def test_a_whole_answer_tells_its_tokens_over_all_of_its_time_and_no_first_token():
    bench = Bench()
    admission = bench.admitted()
    bench.clock.now += 4.0
    admission.committed(stream=False)
    admission.ended(100)
    condition = bench.health.of(A)
    assert condition.tokens_per_s == pytest.approx(25.0)
    assert condition.first_token_s is None


def test_a_stream_that_comes_at_once_took_as_long_as_it_was_waited_for():
    bench = Bench()
    bench.answers(tokens=100, first_s=5.0, seconds=0.001)
    assert bench.health.of(A).tokens_per_s == pytest.approx(20.0, rel=0.01)


@pytest.mark.parametrize(("tokens", "held_up_s"), [(None, 0.0), (0, 0.0), (1, 0.0), (100, 0.9)])
def test_what_tells_nothing_of_the_providers_speed_is_not_counted(tokens, held_up_s):
    bench = Bench()
    bench.answers(tokens=tokens, held_up_s=held_up_s)
    condition = bench.health.of(A)
    assert condition.tokens_per_s is None
    assert condition.first_token_s == pytest.approx(0.5)


# ---------------------------------------------------------------------------------------- cool-downs


def test_the_third_failure_in_a_row_cools_a_deployment_down():
    bench = Bench()
    bench.fails(2)
    assert (bench.health.of(A).failures, bench.cooling_s()) == (2, None)
    bench.fails(1)
    assert bench.cooling_s() == 2.0
    assert bench.health.admit(A) is None
    assert bench.health.admit(B) is not None
    assert bench.cooled == ["a"]


def test_a_good_reply_makes_up_for_the_failures_before_it():
    bench = Bench()
    bench.fails(2)
    bench.answers()
    bench.fails(2)
    assert bench.cooling_s() is None


def test_a_stream_that_began_and_broke_off_makes_up_for_nothing():
    bench = Bench()
    for _ in range(3):
        admission = bench.admitted()
        admission.committed(stream=True)
        admission.failed()
    assert bench.cooling_s() == 2.0


@pytest.mark.parametrize("gone", ["before", "after"])
def test_a_caller_who_hangs_up_tells_nothing(gone):
    bench = Bench()
    bench.fails(2)
    for _ in range(5):
        admission = bench.admitted()
        if gone == "after":
            admission.committed(stream=True)
        admission.left()
    assert (bench.health.of(A).failures, bench.cooling_s()) == (2, None)


def test_cool_downs_double_up_to_the_longest():
    bench = Bench()
    bench.fails(2)
    pauses = []
    for _ in range(9):
        bench.fails(1)
        pauses.append(bench.cooling_s())
        bench.clock.now += pauses[-1]
    assert pauses == [2, 4, 8, 16, 32, 64, 120, 120, 120]


@pytest.mark.parametrize(("jitter", "pause_s"), [(0.0, 2.0), (0.5, 2.25), (1.0, 2.5)])
def test_jitter_prolongs_a_cool_down_by_a_quarter_at_most(jitter, pause_s):
    bench = Bench(jitter=lambda: jitter)
    bench.fails(3)
    assert bench.cooling_s() == pause_s


def test_retry_after_is_waited_for_from_the_first_failure_on():
    bench = Bench()
    bench.fails(1, retry_after_s=30.0)
    assert bench.cooling_s() == 30.0
    bench.clock.now += 29.9
    assert bench.health.admit(A) is None
    bench.clock.now += 0.2
    assert bench.health.admit(A) is not None


@pytest.mark.parametrize("asked_s", [601.0, 86_400.0])
def test_an_absurd_retry_after_is_not_believed_for_longer_than_ten_minutes(asked_s):
    bench = Bench()
    bench.fails(1, retry_after_s=asked_s)
    assert bench.cooling_s() == 600.0
    pinned = bench.health.insist(A)
    pinned.failed(retry_after_s=asked_s)
    assert bench.cooling_s() == 600.0


def test_what_may_be_due_to_one_request_counts_once_until_a_good_reply():
    bench = Bench()
    for _ in range(5):
        bench.admitted().failed(about=1)
    assert bench.health.of(A).failures == 1
    bench.admitted().ended(None)
    bench.admitted().failed(about=1)
    assert bench.health.of(A).failures == 1
    for about in (2, 3):
        bench.admitted().failed(about=about)
    assert (bench.health.of(A).failures, bench.cooling_s()) == (3, 2.0)
    bench.clock.now += 2.0
    bench.admitted().failed(about=3)  # the trial tells nothing new, so that the next may try
    assert bench.health.admit(A) is not None


def test_a_short_retry_after_does_not_shorten_a_cool_down():
    bench = Bench()
    bench.fails(2)
    bench.fails(1, retry_after_s=0.5)
    assert bench.cooling_s() == 2.0


def test_failures_of_what_began_before_the_cool_down_do_not_prolong_it():
    bench = Bench()
    running = [bench.admitted() for _ in range(8)]
    for admission in running:
        admission.failed()
    assert (bench.health.of(A).failures, bench.cooling_s()) == (3, 2.0)
    late = bench.health.insist(A)
    late.failed(retry_after_s=9.0)
    assert bench.cooling_s() == 9.0


def test_what_began_before_a_cool_down_does_not_end_it_by_succeeding():
    bench = Bench()
    running = bench.admitted()
    bench.clock.now += 1.0
    bench.fails(1, retry_after_s=60.0)
    bench.clock.now += 1.0
    running.committed(stream=True)
    running.ended(100)
    assert bench.cooling_s() == pytest.approx(59.0)
    assert bench.health.of(A).failures == 1
    assert bench.health.admit(A) is None


def test_long_streams_that_end_well_do_not_keep_cool_downs_short():
    bench = Bench()
    streams = [bench.admitted() for _ in range(4)]
    for stream in streams:
        stream.committed(stream=True)
    bench.clock.now += 1.0
    bench.fails(3)
    pauses = []
    for stream in streams:
        pauses.append(bench.cooling_s())
        bench.clock.now += pauses[-1]
        stream.ended(100)
        bench.fails(1)
    assert pauses == [2, 4, 8, 16]


# -------------------------------------------------------------------------------------------- trials


def cooled_down():
    bench = Bench()
    bench.fails(3)
    bench.clock.now += 2.0
    return bench


def test_after_a_cool_down_one_request_at_a_time_tries():
    bench = cooled_down()
    assert bench.cooling_s() is None
    trial = bench.admitted()
    assert bench.health.admit(A) is None
    assert bench.cooling_s() == 1.0
    trial.committed(stream=True)
    assert bench.cooling_s() is None
    assert bench.health.admit(A) is not None
    assert bench.health.admit(A) is not None


def test_a_failed_trial_cools_down_for_longer():
    bench = cooled_down()
    bench.admitted().failed()
    assert bench.cooling_s() == 4.0


def test_a_trial_that_told_nothing_lets_the_next_request_try():
    bench = cooled_down()
    bench.admitted().left()
    assert bench.health.admit(A) is not None
    assert bench.health.admit(A) is None


def test_a_trial_that_takes_long_keeps_the_others_out_for_a_while_only():
    bench = cooled_down()
    first = bench.admitted()
    bench.clock.now += 9.9
    assert bench.health.admit(A) is None
    bench.clock.now += 0.2
    assert bench.cooling_s() is None
    second = bench.admitted()
    assert bench.health.admit(A) is None
    first.left()
    assert bench.health.admit(A) is None
    second.committed(stream=True)
    assert bench.cooling_s() is None


def test_of_trials_that_fail_together_the_first_counts():
    bench = cooled_down()
    trials = []
    for _ in range(4):
        trials.append(bench.admitted())
        bench.clock.now += 10.1
    for trial in trials:
        trial.failed()
    assert (bench.health.of(A).failures, bench.cooling_s()) == (4, 4.0)


def test_a_trial_that_succeeds_and_the_next_reply_that_fails_cool_down_for_longer():
    bench = cooled_down()
    trial = bench.admitted()
    trial.committed(stream=True)
    trial.failed()
    assert bench.cooling_s() == 4.0


def test_a_pinned_request_is_let_through_and_its_success_ends_the_cool_down():
    bench = Bench()
    bench.fails(3)
    bench.health.insist(A).committed(stream=False)
    assert bench.health.admit(A) is not None


def test_the_embedded_engine_does_not_cool_down():
    bench = Bench()
    engine = Deployment(model="m", provider=LOCAL, upstream_model="m")
    bench.fails(10, engine, retry_after_s=5.0)
    assert bench.cooling_s(engine) is None
