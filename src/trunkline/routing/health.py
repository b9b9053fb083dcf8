"""Health: how fast each deployment was, and whether it may be asked now, by what requests observed.

Each worker keeps its own. Nothing here waits: one event loop owns it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from trunkline.log import get_logger
from trunkline.routing.deployment import LOCAL, Deployment

_FAILURES = 3  # since the last good reply, until a deployment cools down
_FIRST_S, _LONGEST_S = 2.0, 120.0  # cool-downs double from the one to the other
_LONGEST_WAIT_S = (
    600.0  # that an upstream may ask for: a slip of its unit must not close it for days
)
_JITTER = 0.25  # the share by which a cool-down is prolonged at most, so that workers return apart
_TRIAL_S = 1.0  # what others are told to wait while one request tries it
_LONGEST_TRIAL_S = 10.0  # a long whole answer must not keep everybody else out
_MOST = 5.0  # observations that an average remembers, so that a change shows within few requests
_MIN_TOKENS = 2
_LEAST = 1e-6  # of a speed or a time: the logarithm of nothing is not a number
_HALF = math.log(2)
_BURST = 0.1  # the share of its time that a stream must spread its tokens over

log = get_logger()


class DeploymentHealth:
    """What is known of each deployment.

    The embedded engine never cools down: its supervisor knows at first hand whether it can answer.
    ``on_cooling`` is told the provider whenever a cool-down begins.
    """

    def __init__(
        self,
        *,
        half_life_s: float = 300.0,
        clock: Callable[[], float] = time.perf_counter,
        jitter: Callable[[], float] = random.random,
        on_cooling: Callable[[str], None] | None = None,
    ) -> None:
        self.clock = clock
        self._half_life_s = half_life_s
        self._jitter = jitter
        self._on_cooling = on_cooling
        self._known: dict[tuple[str, str, str], _Known] = {}

    def of(self, deployment: Deployment) -> Condition:
        """Returns how a deployment stands at this moment: the same object while nothing changes."""
        known = self._known.get(deployment.place)
        if known is None:
            return _UNKNOWN
        condition = known.condition
        if condition is None or known.until is not None:
            cooling_s = None if known.until is None else known.cooling_s(self.clock())
            speed = known.tokens_per_s
            first_s = known.first_token_s.value
            condition = Condition(speed.value, first_s, speed.fallen, known.failures, cooling_s)
            known.condition = condition
        return condition

    def admit(self, deployment: Deployment) -> Admission | None:
        """Returns leave to ask a deployment, None while it cools down or another request tries it.

        After a cool-down one request at a time is admitted, on trial, until one has committed; one
        that takes long lets the next try as well. Whoever was admitted must call ``Admission.left`` in
        the end.
        """
        known = self._of(deployment)
        if known.until is None:
            return Admission(self, deployment, known, trial=False)
        if known.cooling_s(self.clock()) is not None:
            return None
        known.trial = Admission(self, deployment, known, trial=True)
        return known.trial

    def insist(self, deployment: Deployment) -> Admission:
        """Returns leave to ask a deployment whatever its condition: a pinned request's one attempt."""
        return Admission(self, deployment, self._of(deployment), trial=False)

    def _of(self, deployment: Deployment) -> _Known:
        key = deployment.place
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(self._half_life_s)
        return known

    def _cool(self, deployment: Deployment, known: _Known, retry_after_s: float) -> None:
        pause_s = 0.0
        if known.failures >= _FAILURES or known.until is not None:
            doublings = max(known.failures - _FAILURES, 0)
            pause_s = min(_FIRST_S * 2.0 ** min(doublings, 16), _LONGEST_S)
            pause_s *= 1 + _JITTER * self._jitter()
        pause_s = max(pause_s, retry_after_s)
        if not pause_s:
            return
        known.cooled_at = self.clock()
        known.until = known.cooled_at + pause_s
        log.warning(
            "cooling_down",
            provider=deployment.provider,
            model=deployment.model,
            failures=known.failures,
            seconds=round(pause_s, 1),
        )
        if self._on_cooling is not None:
            self._on_cooling(deployment.provider)


class Condition(NamedTuple):
    """How a deployment stands: what was measured, and for how many seconds nobody is sent there.

    ``slowed`` says that it is less than half as fast as it was.
    """

    tokens_per_s: float | None = None
    first_token_s: float | None = None
    slowed: bool = False
    failures: int = 0
    cooling_s: float | None = None


_UNKNOWN = Condition()


class Admission:
    """One attempt at a deployment, and what became of it. A caller who hangs up says nothing of it."""

    __slots__ = ("_deployment", "_health", "_known", "_trial", "committed_at", "started_at")

    def __init__(
        self, health: DeploymentHealth, deployment: Deployment, known: _Known, *, trial: bool
    ) -> None:
        self.started_at = health.clock()
        self.committed_at = self.started_at
        self._health = health
        self._deployment = deployment
        self._known = known
        self._trial = trial

    def now(self) -> float:
        """Returns the time on the clock that the attempt is timed by."""
        return self._health.clock()

    def committed(self, *, stream: bool) -> None:
        """It has begun to speak, so others may come: a whole answer is told from a stream's start."""
        known, now = self._known, self._health.clock()
        if stream:
            self.committed_at = now
            known.first_token_s.add(now - self.started_at, now)
        if not self._outdated:
            known.until = None
        known.condition = None
        self.left()

    def ended(self, tokens: int | None, *, held_up_s: float = 0.0) -> None:
        """Its reply has come to its proper end, with that many completion tokens, if it said so.

        ``held_up_s`` is for how long the reply waited for its reader meanwhile: if that was most of
        the time, it tells the reader's speed.
        """
        known, now = self._known, self._health.clock()
        if not self._outdated:
            known.failures = 0
            known.about.clear()
        known.condition = None
        if tokens is None or tokens < _MIN_TOKENS:
            return
        whole_s, after_first_s = now - self.started_at, now - self.committed_at
        # What was gathered and came at once took as long as it was waited for.
        seconds = after_first_s if after_first_s >= _BURST * whole_s else whole_s
        if seconds > 0 and held_up_s <= max(0.5 * seconds, 0.05):
            known.tokens_per_s.add(tokens / seconds, now)

    def failed(self, *, retry_after_s: float | None = None, about: int | None = None) -> None:
        """It failed, before it spoke or while it did; several such failures cool it down.

        What may be due to the request, which ``about`` tells apart from others, counts once.
        """
        known = self._known
        if self._deployment.provider == LOCAL:
            return
        wait_s = min(retry_after_s or 0.0, _LONGEST_WAIT_S)
        if known.until is not None and (self._outdated or not self._trial):
            # It began before the cool-down did, or was pinned: only a longer wait is news.
            known.until = max(known.until, self._health.clock() + wait_s)
            return
        if about is not None:
            if about in known.about:
                self.left()
                return
            known.about.add(about)
        known.failures += 1
        known.condition = None
        self._health._cool(self._deployment, known, wait_s)
        self.left()

    def left(self) -> None:
        """The attempt is over, however it went: a trial that told nothing lets the next one try."""
        if self._known.trial is self:
            self._known.trial = None

    @property
    def _outdated(self) -> bool:
        """Whether it began before the last cool-down did: what it tells is of the time before."""
        return self.started_at < self._known.cooled_at


class _Known:
    """``until`` is when the cool-down ends, None if there is none; ``cooled_at``, when the last one began.

    ``trial`` is the request that tries after it. ``about`` are the requests that failures were due to,
    perhaps. ``condition`` is what was last said of all this, None
    if something has changed.
    """

    __slots__ = (
        "about",
        "condition",
        "cooled_at",
        "failures",
        "first_token_s",
        "tokens_per_s",
        "trial",
        "until",
    )

    def __init__(self, half_life_s: float) -> None:
        self.tokens_per_s = Average(half_life_s)
        self.first_token_s = Average(half_life_s)
        self.failures = 0
        self.about: set[int] = set()
        self.until: float | None = None
        self.cooled_at = -math.inf
        self.trial: Admission | None = None
        self.condition: Condition | None = None

    def cooling_s(self, now: float) -> float | None:
        """Returns the seconds until somebody may be sent there, None if that is now."""
        if self.until is None:
            return None
        if now < self.until:
            return self.until - now
        trial = self.trial
        tried = trial is not None and now - trial.started_at < _LONGEST_TRIAL_S
        return _TRIAL_S if tried else None


class Average:
    """A mean in which an observation counts half after ``half_life_s``, and of the last few at most.

    It is the geometric one: ten times faster and ten times slower weigh the same, so that neither a
    fast past nor a slow one outweighs several observations of the present.
    """

    __slots__ = ("_at", "_half_life_s", "_log", "_usual", "_weight")

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self._log = 0.0
        self._usual = -math.inf
        self._weight = 0.0
        self._at = 0.0

    @property
    def value(self) -> float | None:
        """The mean, None before the first observation."""
        return math.exp(self._log) if self._weight else None

    @property
    def fallen(self) -> bool:
        """Whether it is less than half of what it was until recently."""
        return self._log < self._usual - _HALF

    def add(self, observed: float, now: float) -> None:
        """Takes in what was observed at this moment."""
        aged = 0.5 ** (max(now - self._at, 0.0) / self._half_life_s)
        self._at = now
        began = not self._weight
        self._weight = min(aged * self._weight + 1.0, _MOST)
        self._log += (math.log(max(observed, _LEAST)) - self._log) / self._weight
        usual = self._log if began else self._log + (self._usual - self._log) * aged
        self._usual = max(self._log, usual)
