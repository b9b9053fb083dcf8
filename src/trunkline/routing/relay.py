"""The relay: try a plan's deployments in order until one commits. The only loop that fails over."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import msgspec

from trunkline.errors import (
    APIError,
    InvalidRequest,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.log import get_logger
from trunkline.providers.base import Call, Provider, Reply
from trunkline.routing.catalog import Plan
from trunkline.routing.deployment import Deployment
from trunkline.store import Attempt

log = get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers, what, and every attempt until then; the last one committed."""

    deployment: Deployment
    reply: Reply
    attempts: Sequence[Attempt]


class Relay:
    """Reaches providers by their names."""

    def __init__(self, *, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    @asynccontextmanager
    async def open(self, plan: Plan, call: Call, /) -> AsyncIterator[Answer]:
        """Enters with the first deployment that commits; leaving hangs up.

        ``call.model`` is overruled by each deployment's own. Nothing is retried once one has
        committed: what breaks off later is an UpstreamError out of the reply's chunks.

        Raises UpstreamFailed or UpstreamTimeout, listing every attempt, if none commits; the
        provider's APIError if the request itself is at fault or nobody else was there to try.
        """
        async with AsyncExitStack() as stack:
            yield await self._first(stack, plan, call)

    async def _first(self, stack: AsyncExitStack, plan: Plan, call: Call) -> Answer:
        failures: list[_Failure] = []
        for deployment in plan.deployments:
            provider = self._providers[deployment.provider]
            attempted = replace(call, model=deployment.upstream_model)
            started = time.perf_counter()
            try:
                reply = await stack.enter_async_context(provider.open(attempted))
            except (UpstreamError, APIError) as error:
                failure = _Failure(deployment, error, _ms_since(started))
                log.warning("attempt_failed", request_id=call.request_id, **failure.fields())
                failures.append(failure)
                if failure.final:
                    raise _told_caller(failures) from error
            else:
                committed = Attempt(
                    provider=deployment.provider,
                    model=deployment.upstream_model,
                    outcome="committed",
                    ms=_ms_since(started),
                )
                return Answer(deployment, reply, [*(f.attempt() for f in failures), committed])
        raise _all_failed(failures)


@dataclass(frozen=True, slots=True)
class _Failure:
    deployment: Deployment
    error: UpstreamError | APIError
    ms: int

    @property
    def final(self) -> bool:
        """Whether an upstream says that the request itself is at fault: nobody else is asked.

        What a provider of ours refuses (APIError) is beyond that deployment alone: the embedded
        engine sees no images and has its own context.
        """
        return isinstance(self.error, UpstreamError) and not self.error.retryable

    @property
    def refused(self) -> bool:
        """Whether the deployment cannot serve the request, now or ever; being full is no refusal."""
        return (
            isinstance(self.error, APIError)
            and 400 <= self.error.status < 500
            and self.error.status != 429
        )

    @property
    def timed_out(self) -> bool:
        return isinstance(self.error, UpstreamError) and self.error.timed_out

    @property
    def outcome(self) -> str:
        """What happened, for logs and receipts: never the caller's words, which a refusal quotes."""
        if isinstance(self.error, UpstreamError):
            return self.error.outcome
        return f"refused the request ({self.error.code})" if self.refused else self.error.message

    def attempt(self) -> Attempt:
        return Attempt(
            provider=self.deployment.provider,
            model=self.deployment.upstream_model,
            outcome=self.outcome,
            status=self.error.status,
            ms=self.ms,
        )

    def fields(self) -> dict[str, object]:
        """What the log says of it."""
        return {**msgspec.structs.asdict(self.attempt()), "code": self.error.code}


def _told_caller(failures: Sequence[_Failure]) -> APIError:
    """Gives the caller what the last provider said of the request, with its status."""
    error = failures[-1].error
    mistake: APIError
    if isinstance(error, APIError):
        mistake = error
    else:
        mistake = InvalidRequest(error.public, code=error.code, param=error.param)
        mistake.status = error.status or 400
    mistake.attempts = tuple(failure.attempt() for failure in failures)
    return mistake


def _all_failed(failures: Sequence[_Failure]) -> APIError:
    only_ours = len(failures) == 1 and isinstance(failures[0].error, APIError)
    if only_ours or all(failure.refused for failure in failures):
        return _told_caller(failures)
    kind = UpstreamTimeout if all(failure.timed_out for failure in failures) else UpstreamFailed
    tried = "; ".join(f"{failure.deployment.provider} {failure.outcome}" for failure in failures)
    waits = [s for failure in failures if (s := failure.error.retry_after_s) is not None]
    error = kind(f"{kind.__doc__}: {tried}", retry_after_s=min(waits, default=None))
    error.attempts = tuple(failure.attempt() for failure in failures)
    return error


def _ms_since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
