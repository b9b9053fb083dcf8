"""What every request for a model has in common on its way: strictness, a plan, an outcome, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from starlette.types import Scope

from trunkline.api.errors import api_error
from trunkline.api.exchange import Exchange
from trunkline.api.receive import ClientGoneError
from trunkline.errors import InvalidRequest, NoMatchingProvider, ServerStopping
from trunkline.ids import now
from trunkline.providers.base import Reply
from trunkline.routing import NOT_ASKED, Answer, Plan
from trunkline.store import Attempt


class Run:
    """One request on its way, and what becomes known of it. ``ignored`` are parameters left out."""

    def __init__(self, exchange: Exchange, plan: Plan, *, ignored: Sequence[str]) -> None:
        self.exchange = exchange
        self.plan = plan
        self.status = 200
        self.error_code: str | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.created_at = now()
        self.answer: Answer | None = None
        self._ignored = ignored

    @property
    def reply(self) -> Reply | None:
        """What the provider replies, once one has answered."""
        return None if self.answer is None else self.answer.reply

    def committed(self, answer: Answer) -> None:
        """A deployment answers: from now on there is no other."""
        self.answer = answer
        self.attempts = tuple(answer.attempts)
        self.exchange.provider = answer.deployment.provider
        self.exchange.model = answer.deployment.model
        self.exchange.listed = answer.deployment.listed

    def given_up(self, attempts: Sequence[Attempt]) -> None:
        """Nobody waits any more for what was tried so far."""
        self.attempts = tuple(attempts)

    def failed(self, error: Exception) -> None:
        """Notes the error that the caller gets."""
        failure = api_error(error)
        self.status, self.error_code = failure.status, failure.code
        self.attempts = self.attempts or tuple(failure.attempts)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the headers that tell who answers."""
        if self.answer is None:
            return []
        deployment = self.answer.deployment
        asked = sum(attempt.outcome != NOT_ASKED for attempt in self.attempts)
        headers = [
            (b"x-trunkline-provider", deployment.provider.encode()),
            (b"x-trunkline-model", _header_text(deployment.model)),
            (b"x-trunkline-attempts", str(asked).encode()),
        ]
        if self._ignored or self.answer.reply.ignored:
            names = sorted({*self._ignored, *self.answer.reply.ignored})
            headers.append((b"x-trunkline-ignored", _header_text(", ".join(names))))
        return headers


@contextmanager
def recorded(run: Run, settle: Callable[[], None]) -> Iterator[None]:
    """Notes how a run ends, and settles it, however that is."""
    try:
        yield
    except ClientGoneError:
        run.status, run.error_code = 499, "client_gone"
        raise
    except asyncio.CancelledError:
        run.status = run.exchange.status or ServerStopping.status
        run.error_code = ServerStopping.code
        raise
    except Exception as error:
        run.failed(error)
        raise
    finally:
        settle()


def plan_of_nobody(asked: str, error: NoMatchingProvider) -> Plan:
    """Returns the plan of a request for which the filters left nobody: for its receipt."""
    return Plan(asked, asked, None, (), decision=error.decision)


def is_lenient(scope: Scope, default: str) -> bool:
    """Returns whether a request may lose parameters, by its header or else by the configuration."""
    wanted = default
    for name, value in scope["headers"]:
        if name == b"x-trunkline-params":
            wanted = value.decode("latin-1").lower()
    if wanted not in ("strict", "lenient"):
        raise InvalidRequest(
            "the header x-trunkline-params must be 'strict' or 'lenient'",
            param="x-trunkline-params",
        )
    return wanted == "lenient"


def _header_text(text: str) -> bytes:
    """Names come from the operator and from callers: nothing but printable ASCII may get into a header."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:200].encode()
