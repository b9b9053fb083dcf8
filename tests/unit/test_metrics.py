"""The figures: what is counted, under which labels, and that callers cannot grow them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trunkline.api.exchange import Exchange
from trunkline.api.metrics import MULTIPROCESS, Metrics
from trunkline.wire.chat import CompletionTokensDetails, PromptTokensDetails, Usage


def figures(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def ended(metrics: Metrics, **fields: object) -> None:
    exchange = Exchange(request_id="req_1", method="POST", path="/v1/chat/completions")
    for name, value in fields.items():
        setattr(exchange, name, value)
    metrics.began()
    metrics.ended(exchange)


def test_requests_are_counted_by_method_route_and_status():
    metrics = Metrics()
    for _ in range(2):
        ended(metrics, route="/v1/chat/completions", status=200)
    ended(metrics, route="/v1/chat/completions", status=499)
    found = figures(metrics)
    labels = 'method="POST",path="/v1/chat/completions"'
    assert found[f'trunkline_requests_total{{{labels},status="200"}}'] == 2
    assert found[f'trunkline_requests_total{{{labels},status="499"}}'] == 1
    assert found['trunkline_request_duration_seconds_count{path="/v1/chat/completions"}'] == 3


@pytest.mark.parametrize("method", ["BREW", "x" * 100, "get"])
def test_a_caller_cannot_add_labels(method):
    metrics = Metrics()
    ended(metrics, method=method, route=None, path="/made/up", status=404)
    page = metrics.render().decode()
    assert 'trunkline_requests_total{method="other",path="other",status="404"} 1.0' in page
    assert method not in page.replace("other", "")
    assert "made/up" not in page


def test_requests_that_run_are_those_that_began_and_have_not_ended():
    metrics = Metrics()
    metrics.began()
    ended(metrics, status=200)
    assert figures(metrics)["trunkline_requests_running"] == 1


def test_repairs_are_counted_by_provider_and_name():
    metrics = Metrics()
    metrics.repaired("acme", ("finish_reason", "markers_in_content"))
    metrics.repaired("acme", ("finish_reason",))
    found = figures(metrics)
    labels = 'provider="acme",repair='
    assert found[f'trunkline_repairs_total{{{labels}"finish_reason"}}'] == 2
    assert found[f'trunkline_repairs_total{{{labels}"markers_in_content"}}'] == 1


def test_the_first_chunk_is_timed_only_where_there_was_one():
    metrics = Metrics()
    ended(metrics, status=200, provider="local", model="m")
    ended(metrics, status=200, provider="local", model="m", first_chunk_s=0.2)
    found = figures(metrics)
    labels = 'model="m",provider="local"'
    assert found[f"trunkline_time_to_first_token_seconds_count{{{labels}}}"] == 1
    assert found[f"trunkline_time_to_first_token_seconds_sum{{{labels}}}"] == pytest.approx(0.2)


def test_tokens_are_counted_by_kind():
    metrics = Metrics()
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=4),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=2),
    )
    metrics.used("local", "m", usage)
    metrics.used("local", "m", Usage(prompt_tokens=1))
    found = figures(metrics)
    counts = {
        kind: found[f'trunkline_tokens_total{{kind="{kind}",model="m",provider="local"}}']
        for kind in ("prompt", "cached", "completion", "reasoning")
    }
    assert counts == {"prompt": 11, "cached": 4, "completion": 5, "reasoning": 2}


def test_the_engines_load_and_restarts_are_told():
    metrics = Metrics()
    metrics.engine_load("nano", 2, 2)
    metrics.engine_load("large", 4, 1)
    metrics.engine_load("large", 1, 0)
    metrics.engine_restarted("died")
    found = figures(metrics)
    assert (found["trunkline_engine_slots_busy"], found["trunkline_engine_queue"]) == (3, 2)
    assert found['trunkline_engine_restarts_total{reason="died"}'] == 1


def test_a_file_that_another_process_has_just_made_is_waited_for(tmp_path):
    script = """
import os, sys, threading
from trunkline.api.metrics import MULTIPROCESS, Metrics
metrics = Metrics()
file = sys.argv[1] + "/counter_1.db"
open(file, "wb").close()
threading.Timer(0.01, os.truncate, (file, 65536)).start()
sys.stdout.buffer.write(metrics.render())
"""
    environment = {**os.environ, MULTIPROCESS: str(tmp_path)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"trunkline_requests_running" in done.stdout
