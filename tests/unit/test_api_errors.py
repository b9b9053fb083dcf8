"""What callers are told of an exception."""

from __future__ import annotations

import pytest

from trunkline.api.errors import api_error
from trunkline.errors import UpstreamError


@pytest.mark.parametrize(
    ("timed_out", "status", "code"),
    [(False, 502, "upstream_failed"), (True, 504, "upstream_timeout")],
)
def test_an_upstreams_failure_tells_a_deadline_from_another_and_keeps_to_what_is_public(
    timed_out, status, code
):
    error = UpstreamError("said: my secret", retryable=True, public="stalled", timed_out=timed_out)
    told = api_error(error)
    assert (told.status, told.code, told.message) == (status, code, "stalled")
