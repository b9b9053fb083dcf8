"""The relay: try a plan's deployments in order until one commits. The only loop that fails over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType

import msgspec
from msgspec import Struct

from trunkline.accounts import Usage as BilledUsage
from trunkline.accounts import cost
from trunkline.errors import (
    CALLERS_MISTAKES,
    APIError,
    InvalidRequest,
    ProvidersCoolingDown,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.interruption import Interruption
from trunkline.log import get_logger
from trunkline.providers.base import Call, Provider, Reply
from trunkline.routing.catalog import Plan
from trunkline.routing.deployment import Deployment
from trunkline.routing.health import Admission, DeploymentHealth
from trunkline.store import Attempt, Billed
from trunkline.wire.chat import Usage

log = get_logger()


NOT_ASKED = "not asked: cooling down"
"""The outcome of a deployment that was passed over, as it began to cool down or another request tries it."""


GIVEN_UP = "given up: nobody waits for the answer"
"""The outcome of the attempt that was under way when the caller hung up or the server stopped."""


class Answer(Struct, frozen=True):
    """Who answers, what, and every attempt until then; the last one committed."""

    deployment: Deployment
    reply: Reply
    attempts: Sequence[Attempt]
    _call: Call
    _admission: Admission
    _due: float

    def ended(self, tokens: int | None, *, held_up_s: float = 0.0) -> None:
        """Tells that the reply has come to its end, with that many completion tokens if they are known.

        ``held_up_s`` is for how long it waited for whoever reads it.
        """
        self._admission.ended(tokens, held_up_s=held_up_s)

    def broke_off(self, error: Exception) -> None:
        """Tells that the reply ended with an error."""
        if isinstance(error, UpstreamError) and _counts(error, self._admission, self._due):
            _tell(self._admission, error, self._call)


class Relay:
    """Reaches providers by their names.

    ``request_timeout_s`` is for all attempts of a request together. ``on_attempt`` is told each
    attempt's provider and how it went (``committed``, ``timed_out``, ``refused`` or ``failed``),
    ``on_failover`` the provider that another was asked after.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        health: DeploymentHealth | None = None,
        request_timeout_s: float = 900.0,
        on_attempt: Callable[[str, str], None] = lambda _provider, _outcome: None,
        on_failover: Callable[[str], None] = lambda _provider: None,
    ) -> None:
        self._providers = providers
        self._health = health or DeploymentHealth()
        self._request_timeout_s = request_timeout_s
        self._on_attempt = on_attempt
        self._on_failover = on_failover

    def open(
        self,
        plan: Plan,
        call: Call,
        /,
        on_given_up: Callable[[Sequence[Attempt]], None] = lambda _attempts: None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Enters with the first deployment that commits; leaving hangs up.

        Cancelled before that, it tells ``on_given_up`` the attempts so far, the one under way last.

        ``call.model`` is overruled by each deployment's own. Nothing is retried once one has
        committed: what breaks off later is an UpstreamError out of the reply's chunks. Whoever reads
        them tells the answer how they ended.

        Raises UpstreamFailed or UpstreamTimeout, listing every attempt, if none commits;
        ProvidersCoolingDown if none may be asked now; the provider's APIError if the request itself
        is at fault or nobody else was there to try.
        """
        return _Opening(self, plan, call, on_given_up)

    async def _first(
        self,
        plan: Plan,
        call: Call,
        on_given_up: Callable[[Sequence[Attempt]], None],
    ) -> tuple[Answer, AbstractAsyncContextManager[Reply]]:
        clock = self._health.clock
        due = clock() + self._request_timeout_s
        tried: list[_Failure | Attempt] = []
        failure: _Failure | None = None
        for deployment in plan.deployments:
            admission = (self._health.insist if plan.pinned else self._health.admit)(deployment)
            if admission is None:
                tried.append(_attempt(deployment, NOT_ASKED, 0))
                continue
            if failure is not None:
                self._on_failover(failure.deployment.provider)
            try:
                reply, opened = await self._enter(deployment, call, due)
            except (UpstreamError, APIError) as error:
                failure = _Failure(deployment, error, _ms_since(admission.started_at, clock))
                self._failed(failure, admission, due, call)
                tried.append(failure)
                if failure.final:
                    raise _told_caller(tried, failure) from error
                if clock() >= due:
                    break
            except asyncio.CancelledError:
                ms = _ms_since(admission.started_at, clock)
                on_given_up([*_attempts(tried), _attempt(deployment, GIVEN_UP, ms)])
                raise
            else:
                admission.committed(stream=call.stream)
                self._on_attempt(deployment.provider, "committed")
                committed = _attempt(
                    deployment, "committed", _ms_since(admission.started_at, clock)
                )
                attempts = [*_attempts(tried), committed]
                return Answer(deployment, reply, attempts, call, admission, due), opened
            finally:
                admission.left()
        if failure is None:
            raise _cooling_down(plan, tried)
        raise self._all_failed(tried, out_of_time=clock() >= due)

    async def _enter(
        self, deployment: Deployment, call: Call, due: float
    ) -> tuple[Reply, AbstractAsyncContextManager[Reply]]:
        """Opens a deployment within the time that is left to the request."""
        within_s = due - self._health.clock()
        attempted = msgspec.structs.replace(
            call,
            model=deployment.upstream_model,
            within_s=within_s,
            support=deployment.support,
        )
        provider = self._providers[deployment.provider]
        deadline = Interruption()
        timer = asyncio.get_running_loop().call_later(within_s, deadline.happen)
        try:
            opened = provider.open(attempted)
            return await opened.__aenter__(), opened
        except asyncio.CancelledError as error:
            if not deadline.alone:
                raise
            raise UpstreamError(
                "was cut off by the request's deadline", retryable=True, timed_out=True
            ) from error
        finally:
            timer.cancel()
            deadline.over()

    def _failed(self, failure: _Failure, admission: Admission, due: float, call: Call) -> None:
        log.warning("attempt_failed", request_id=call.request_id, **failure.fields())
        self._on_attempt(failure.deployment.provider, failure.kind)
        if isinstance(failure.error, UpstreamError) and _counts(failure.error, admission, due):
            _tell(admission, failure.error, call)

    def _all_failed(self, tried: Sequence[_Failure | Attempt], *, out_of_time: bool) -> APIError:
        failures = [each for each in tried if isinstance(each, _Failure)]
        only_ours = len(failures) == 1 and isinstance(failures[0].error, APIError)
        if only_ours or all(failure.refused for failure in failures):
            return _told_caller(tried, failures[-1])
        timed_out = out_of_time or all(failure.timed_out for failure in failures)
        kind = UpstreamTimeout if timed_out else UpstreamFailed
        what = kind.__doc__
        if out_of_time:
            what = f"nobody answered within {self._request_timeout_s:g} s"
        each = "; ".join(f"{failure.deployment.provider} {failure.outcome}" for failure in failures)
        waits = [s for failure in failures if (s := failure.error.retry_after_s) is not None]
        error = kind(f"{what}: {each}", retry_after_s=min(waits, default=None))
        error.attempts = _attempts(tried)
        return error


def _tell(admission: Admission, error: UpstreamError, call: Call) -> None:
    """Tells of a failure of the deployment, of an empty answer once for each prompt."""
    about = hash(bytes(call.body.get("messages", b""))) if error.empty else None
    admission.failed(retry_after_s=error.retry_after_s, about=about)


class _Opening:
    """A plan on its way: entered once a deployment has committed."""

    __slots__ = ("_call", "_on_given_up", "_opened", "_plan", "_relay")

    def __init__(
        self,
        relay: Relay,
        plan: Plan,
        call: Call,
        on_given_up: Callable[[Sequence[Attempt]], None],
    ) -> None:
        self._relay = relay
        self._plan = plan
        self._call = call
        self._on_given_up = on_given_up

    async def __aenter__(self) -> Answer:
        answer, self._opened = await self._relay._first(self._plan, self._call, self._on_given_up)
        return answer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._opened.__aexit__(kind, error, traceback)


def _counts(error: UpstreamError, admission: Admission, due: float) -> bool:
    """Whether a failure tells of the deployment: not of the request, nor of the time it had left.

    Nor of the model: else one caller's prompt could make a provider cool down for everybody.
    """
    if not error.retryable or error.by_model or error.status in CALLERS_MISTAKES:
        return False
    return not (error.timed_out and admission.now() >= due)


@dataclass(frozen=True, slots=True)
class _Failure:
    deployment: Deployment
    error: UpstreamError | APIError
    ms: int

    @property
    def final(self) -> bool:
        """Whether an upstream says that the request itself is at fault: nobody else is asked.

        What a provider of ours refuses (APIError) is beyond that deployment alone: the embedded
        engine sees no images and has its own context. So is what lies beyond a provider's own limits.
        """
        error = self.error
        return isinstance(error, UpstreamError) and not error.retryable and not error.limit

    @property
    def refused(self) -> bool:
        """Whether the deployment cannot serve the request, now or ever; being full is no refusal."""
        if isinstance(self.error, UpstreamError):
            return not self.error.retryable
        return 400 <= self.error.status < 500 and self.error.status != 429

    @property
    def timed_out(self) -> bool:
        return isinstance(self.error, UpstreamError) and self.error.timed_out

    @property
    def outcome(self) -> str:
        """What happened, for logs and receipts: never the caller's words, which a refusal quotes."""
        if isinstance(self.error, UpstreamError):
            return self.error.outcome
        return f"refused the request ({self.error.code})" if self.refused else self.error.message

    @property
    def kind(self) -> str:
        """What the figures say of it: one of a few words."""
        return "refused" if self.refused else "timed_out" if self.timed_out else "failed"

    def attempt(self) -> Attempt:
        attempt = _attempt(self.deployment, self.outcome, self.ms, status=self.error.status)
        used = self.error.used if isinstance(self.error, UpstreamError) else None
        if used is None:
            return attempt
        return msgspec.structs.replace(attempt, billed=_billed(used, self.deployment))

    def fields(self) -> dict[str, object]:
        """What the log says of it."""
        facts = msgspec.structs.asdict(self.attempt())
        billed = facts.pop("billed")
        return {
            **facts,
            **(msgspec.structs.asdict(billed) if billed else {}),
            "code": self.error.code,
        }


def _billed(used: Usage, deployment: Deployment) -> Billed:
    """Returns what a failed attempt used, at the deployment's price."""
    counts = BilledUsage(
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        cached_tokens=used.cached_tokens,
    )
    price = deployment.price
    return Billed(
        prompt_tokens=counts.prompt_tokens,
        cached_tokens=counts.cached_tokens,
        completion_tokens=counts.completion_tokens,
        cost_nano_usd=None if price is None else cost(counts, price),
    )


def _told_caller(tried: Sequence[_Failure | Attempt], failure: _Failure) -> APIError:
    """Gives the caller what a provider said of the request, with its status."""
    error = failure.error
    mistake: APIError
    if isinstance(error, APIError):
        mistake = error
    else:
        mistake = InvalidRequest(error.public, code=error.code, param=error.param)
        mistake.status = error.status or 400
    mistake.attempts = _attempts(tried)
    return mistake


def _cooling_down(plan: Plan, tried: Sequence[_Failure | Attempt]) -> ProvidersCoolingDown:
    candidates = plan.decision.candidates if plan.decision else ()
    waits = {one.provider: s for one in candidates if (s := one.cooling_s) and not one.removed}
    each = ", ".join(f"{provider} for {wait_s:.3g} s" for provider, wait_s in waits.items())
    error = ProvidersCoolingDown(
        f"every provider of '{plan.model}' is cooling down after failures{each and ': '}{each}",
        retry_after_s=min(waits.values(), default=1.0),
    )
    error.attempts = _attempts(tried)
    return error


def _attempts(tried: Sequence[_Failure | Attempt]) -> list[Attempt]:
    return [each.attempt() if isinstance(each, _Failure) else each for each in tried]


def _attempt(
    deployment: Deployment, outcome: str, ms: int, *, status: int | None = None
) -> Attempt:
    return Attempt(
        provider=deployment.provider,
        model=deployment.upstream_model,
        outcome=outcome,
        status=status,
        ms=ms,
    )


def _ms_since(started: float, clock: Callable[[], float]) -> int:
    return round((clock() - started) * 1000)
