"""The gate: how many requests of a key may begin and run, in one process and over several."""

from __future__ import annotations

import multiprocessing
from contextlib import ExitStack
from pathlib import Path

import pytest

from trunkline.accounts import Caller, Gate, shared_file
from trunkline.accounts import gate as module
from trunkline.errors import RateLimited
from trunkline.store import Limits, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def caller(key_id: str = "key_1", **limits) -> Caller:
    return Caller(key_id=key_id, account_id="acct_1", limits=Limits(**limits))


def begins(gate: Gate, who: Caller) -> float | None:
    """Begins and ends a request; returns for how long to wait instead, None if it may begin."""
    try:
        with gate.entered(who):
            return None
    except RateLimited as refused:
        return refused.retry_after_s


@pytest.fixture(params=["alone", "shared"])
def gates(request, tmp_path: Path):
    """Two gates that count together: the same one twice, or those of two workers; and their clock."""
    clock = Clock()
    if request.param == "alone":
        gate = Gate(clock=clock)
        yield gate, gate, clock
        return
    file = shared_file(tmp_path / "gate", workers=2)
    with (
        Gate(workers=2, worker=0, file=file, clock=clock) as one,
        Gate(workers=2, worker=1, file=file, clock=clock) as two,
    ):
        yield one, two, clock


def test_no_more_requests_run_than_the_key_may_have(gates):
    one, two, _ = gates
    limited, other = caller(concurrency=2), caller("key_2", concurrency=1)
    with one.entered(limited), two.entered(limited):
        assert begins(one, limited) == begins(two, limited) == 1.0
        assert begins(two, other) is None
    for _ in range(3):
        with two.entered(limited):
            assert begins(one, limited) is None


def test_a_request_that_fails_has_ended(gates):
    one, two, _ = gates
    limited = caller(concurrency=1)
    with pytest.raises(ZeroDivisionError), one.entered(limited):
        raise ZeroDivisionError
    assert begins(two, limited) is None


def test_a_quiet_key_may_begin_as_many_as_its_rate_names_and_then_one_by_one(gates):
    one, two, clock = gates
    limited = caller(rate=Rate(6, 60))
    assert [begins(gate, limited) for gate in (one, two) * 3] == [None] * 6
    assert begins(one, limited) == pytest.approx(10.0)
    clock.now += 4
    assert begins(two, limited) == pytest.approx(6.0)
    clock.now += 6
    assert begins(two, limited) is None
    assert begins(one, limited) == pytest.approx(10.0)
    clock.now += 3600
    assert [begins(one, limited) for _ in range(7)] == [*[None] * 6, pytest.approx(10.0)]


@pytest.mark.parametrize("rate", [Rate(1, 3600), Rate(7, 1), Rate(100_000, 60)])
def test_over_a_long_time_a_rate_is_kept_exactly(rate):
    clock = Clock()
    gate, limited = Gate(clock=clock), caller(rate=rate)
    begun = 0
    while (wait_s := begins(gate, limited)) is None:
        begun += 1
    assert begun == rate.requests
    for _ in range(1000):
        clock.now += wait_s * (1 + 1e-9)
        assert begins(gate, limited) is None
        wait_s = begins(gate, limited)
        assert wait_s is not None


def test_a_refused_request_does_not_count(gates):
    one, _, clock = gates
    limited = caller(rate=Rate(1, 10), concurrency=1)
    with one.entered(limited):
        assert begins(one, limited) == 1.0
    for _ in range(5):
        assert begins(one, limited) == pytest.approx(10.0)
    clock.now += 10
    assert begins(one, limited) is None


def test_a_changed_rate_holds_at_once(gates):
    one, two, clock = gates
    slow = Rate(1, 3600)
    assert begins(one, caller(rate=slow)) is None
    assert begins(two, caller(rate=slow)) == pytest.approx(3600)
    assert begins(two, caller(rate=Rate(2, 1))) == pytest.approx(0.5)
    clock.now += 1
    assert begins(two, caller(rate=Rate(2, 1))) is None


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"concurrency": 1}, "concurrency_limit_exceeded"),
        ({"rate": Rate(1, 60)}, "rate_limit_exceeded"),
    ],
)
def test_the_error_says_which_limit_it_is(limits, code):
    gate, limited = Gate(), caller(**limits)
    with pytest.raises(RateLimited) as caught, gate.entered(limited), gate.entered(limited):
        pass
    assert (caught.value.status, caught.value.code) == (429, code)


def test_a_worker_that_died_leaves_nothing_running(tmp_path):
    file = shared_file(tmp_path / "gate", workers=2)
    limited = caller(concurrency=2)
    with Gate(workers=2, file=file) as dead, Gate(workers=2, worker=1, file=file) as alive:
        dead._enter(limited)  # and never leaves
        with alive.entered(limited):
            assert begins(alive, limited) == 1.0
            with Gate(workers=2, file=file) as successor:
                assert begins(alive, limited) is None
                with successor.entered(limited):
                    assert begins(alive, limited) == 1.0


def test_keys_that_are_idle_make_room_and_none_is_let_in_where_all_are_busy(monkeypatch):
    monkeypatch.setattr(module, "_PLACES", 4)
    monkeypatch.setattr(module, "_PROBES", 4)
    clock = Clock()
    gate = Gate(clock=clock)
    keys = [caller(f"key_{n}", concurrency=1, rate=Rate(1, 10)) for n in range(9)]
    for key in keys[:4]:
        assert begins(gate, key) is None
    assert begins(gate, keys[4]) == 1.0
    clock.now += 10
    with ExitStack() as stack:
        for key in keys[4:8]:
            stack.enter_context(gate.entered(key))
        clock.now += 10
        assert begins(gate, keys[0]) == 1.0
        assert begins(gate, keys[4]) == 1.0  # its own one runs
    assert [begins(gate, key) for key in keys[:4]] == [None] * 4


def _begin_many(file: Path, worker: int, counts) -> None:
    with Gate(workers=2, worker=worker, file=file, clock=lambda: 1000.0) as gate:
        limited = caller(rate=Rate(500, 3600))
        counts.put(sum(begins(gate, limited) is None for _ in range(1000)))


def test_processes_that_count_at_the_same_time_lose_nothing(tmp_path):
    file = shared_file(tmp_path / "gate", workers=2)
    context = multiprocessing.get_context("spawn")
    counts = context.Queue()
    processes = [context.Process(target=_begin_many, args=(file, n, counts)) for n in range(2)]
    for process in processes:
        process.start()
    begun = sum(counts.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    assert begun == 500
