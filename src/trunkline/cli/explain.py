"""``trunkline explain``: the receipt of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.database import open_configured
from trunkline.cli.output import print_json
from trunkline.errors import TrunklineError
from trunkline.store import Attempt, Billed, Candidate, Decision, Request


def explain(
    request_id: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST_ID", help="What x-request-id said: req_…", show_default=False
        ),
    ],
    as_json: JSONOption = False,
    config: ConfigOption = None,
) -> None:
    """Tells what became of a request: who answered, after which attempts, at what cost."""

    async def run() -> Request | None:
        async with open_configured(config) as store:
            return await store.requests.of_any_account(request_id)

    request = asyncio.run(run())
    if request is None:
        raise TrunklineError(
            f"no receipt of '{request_id}'; it is what the header x-request-id said, req_…, and "
            "what was turned away before a model was looked for has none"
        )
    if as_json:
        print_json(request)
    else:
        typer.echo("\n".join(_lines(request)))


def _lines(request: Request) -> Iterator[str]:
    for name, value in _facts(request).items():
        yield f"{name:<12} {value}"
    if request.decision is not None:
        yield f"{'choice':<12} {_choice(request.decision)}"
        for candidate in request.decision.candidates:
            yield f"{'candidate':<12} {candidate.provider}: {_candidate(candidate)}"
    for number, attempt in enumerate(request.attempts, 1):
        yield f"{f'attempt {number}':<12} {_attempt(attempt)}"
        if attempt.billed:
            yield f"{'billed':<12} {_billed(attempt.billed)}"
        if attempt.repairs:
            yield f"{'repaired':<12} {', '.join(attempt.repairs)}"
        if attempt.emulations:
            yield f"{'emulated':<12} {', '.join(attempt.emulations)}"
        if attempt.ignored:
            yield f"{'left out':<12} {', '.join(attempt.ignored)}"


def _attempt(attempt: Attempt) -> str:
    said = attempt.status is None or f"status {attempt.status}" in attempt.outcome
    status = "" if said else f" with status {attempt.status}"
    return f"{attempt.provider}, {attempt.model}: {attempt.outcome}{status} after {attempt.ms} ms"


def _billed(billed: Billed) -> str:
    from trunkline.accounts import usd

    cost = "" if billed.cost_nano_usd is None else f", {usd(billed.cost_nano_usd)} USD"
    cached = f"({billed.cached_tokens} cached)"
    return f"{billed.prompt_tokens} in {cached}, {billed.completion_tokens} out{cost}"


def _choice(decision: Decision) -> str:
    facts = [decision.policy]
    if decision.sort is not None:
        facts.append(f"sorted by {decision.sort}")
    if decision.order:
        facts.append(f"first {', '.join(decision.order)}")
    if decision.only_first:
        facts.append("without fallbacks")
    if decision.sticky is not None:
        facts.append(f"the conversation was at {decision.sticky}")
    if decision.draw is not None:
        verb = "explored" if decision.draw < decision.explore else "drew"
        facts.append(f"{verb} {decision.draw:.3f} of {decision.explore:g}")
    return f"{', '.join(facts)}: {', '.join(decision.plan) or 'nobody'}"


def _candidate(candidate: Candidate) -> str:
    from trunkline.accounts import usd

    if candidate.removed is not None:
        return f"left out, {candidate.removed}"
    facts = [] if candidate.deferred is None else [f"asked last, {candidate.deferred}"]
    if candidate.cooling_s is not None:
        facts.append(f"cooling down for {candidate.cooling_s:g} s")
    if candidate.failures:
        failures = "1 failure" if candidate.failures == 1 else f"{candidate.failures} failures"
        facts.append(f"{failures} since its last good reply")
    if candidate.tokens_per_s is not None:
        slowed = ", less than half of before" if candidate.slowed else ""
        facts.append(f"{candidate.tokens_per_s:g} tokens/s{slowed}")
    if candidate.first_token_s is not None:
        facts.append(f"first token after {candidate.first_token_s:g} s")
    if candidate.input is not None and candidate.output is not None:
        facts.append(f"{usd(candidate.input)} and {usd(candidate.output)} USD per 1M tokens")
    return ", ".join(facts) or "nothing known"


def _facts(request: Request) -> dict[str, str]:
    return {
        "request": request.id,
        "at": f"{request.created_at:%Y-%m-%d %H:%M:%S.%f} UTC",
        "account": f"{request.account_id}, key {request.key_id}",
        "asked for": f"{request.model} ({request.api}{', streamed' if request.stream else ''})",
        "answered by": _answerer(request),
        "status": f"{request.status}{f' {request.error_code}' if request.error_code else ''}",
        "tokens": _tokens(request),
        "cost": _cost(request),
        "time": _time(request),
    }


def _answerer(request: Request) -> str:
    if request.provider is None:
        return "nobody"
    return f"{request.provider}, {request.answered_model or request.model}"


def _tokens(request: Request) -> str:
    return (
        f"{request.prompt_tokens} in ({request.cached_tokens} cached), "
        f"{request.completion_tokens} out ({request.reasoning_tokens} reasoning)"
        f"{', estimated' if request.estimated else ''}"
    )


def _cost(request: Request) -> str:
    from trunkline.accounts import usd

    billed = [attempt.billed for attempt in request.attempts if attempt.billed]
    wasted = sum(one.cost_nano_usd or 0 for one in billed)
    also = f"; attempts that failed come to {usd(wasted)} USD" if wasted else ""
    if request.cost_nano_usd is not None:
        return f"{usd(request.cost_nano_usd)} USD{also}"
    if request.provider is None:
        return f"none: nobody answered{also}"
    return f"not known: the model has no price{also}"


def _time(request: Request) -> str:
    if request.first_token_ms is None:
        return f"{request.duration_ms} ms"
    return f"{request.duration_ms} ms, first token after {request.first_token_ms} ms"
