"""What becomes of a request whose client hangs up while something else fails too."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from trunkline.api.exchange import Exchange
from trunkline.api.receive import ClientGoneError, until_hangup


async def gone() -> dict[str, str]:
    return {"type": "http.disconnect"}


async def clears_up_badly() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise LookupError("while clearing up")


def test_a_failure_over_a_hangup_is_raised_and_the_hangup_logged():
    async def main():
        try:
            exchange = Exchange(request_id="req_1", method="POST", path="/")
            await until_hangup(gone, exchange, clears_up_badly())
        except Exception as error:  # noqa: BLE001  # whichever it is, is what the test is about
            return error

    with capture_logs() as logs:
        error = asyncio.run(main())
    assert isinstance(error, LookupError)
    (logged,) = logs
    assert (logged["event"], logged["request_id"]) == ("also_failed", "req_1")
    assert isinstance(logged["exc_info"], ClientGoneError)
