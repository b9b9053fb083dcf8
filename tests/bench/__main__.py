"""``python -m tests.bench``: prints what the router costs, beside what it stands in front of.

CPU is that of process trees; times of a busy machine differ from run to run by half, so compare the
ratios, which are taken in the same run. Everything runs on loopback.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import endurance, engine, programs, provider, responses, servers, start
from tests.bench.load import Failed
from trunkline.engine import model as engine_model

_STREAMS = (1, 8, 32)
_STEPS = 4
_AIMS = ("an aim", "", "≤ 16 ×", "", "≤ 8 ×", "", "≤ 3 ×", "")


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long to measure: seconds per load, rounds of the comparison, requests in a row, starts."""

    cost_s: float
    cost_rounds: int
    speed_s: float
    requests: int
    engine_s: float
    starts: int


_FULL = Lengths(cost_s=4.0, cost_rounds=3, speed_s=2.0, requests=200_000, engine_s=5.0, starts=5)
_QUICK = Lengths(cost_s=1.2, cost_rounds=1, speed_s=0.6, requests=10_000, engine_s=1.0, starts=2)


def main() -> int:
    """Measures and prints; returns 1 if something did not answer as it must."""
    arguments = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="less exact, in a few minutes")
    arguments.add_argument(
        "--provider", action="store_true", help="leaves out the embedded engine and the starts"
    )
    arguments.add_argument(
        "--responses", action="store_true", help="measures nothing but the Responses API"
    )
    chosen = arguments.parse_args()
    lengths = _QUICK if chosen.quick else _FULL
    if sys.platform != "linux":
        print("the benchmark reads /proc, which only Linux has", file=sys.stderr)
        return 1
    print(f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}")
    try:
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
            if chosen.responses:
                return _run_responses_alone(lengths, Path(folder))
            return _run(lengths, Path(folder), engine_too=not chosen.provider)
    except Failed as error:
        print(f"a server failed under load: {error}", file=sys.stderr)
        return 1


def _run(lengths: Lengths, folder: Path, *, engine_too: bool) -> int:
    found = programs.found(folder)
    left_out = []
    if found is None:
        left_out.append(f"everything under load: {programs.NO_COMPILER}")
    else:
        if found.nginx is None:
            left_out.append(f"the comparison with nginx: {programs.NO_NGINX}")
        if found.litellm is None:
            left_out.append(f"the comparison with LiteLLM: {programs.NO_LITELLM}")
        _run_provider(lengths, found, folder)
        _run_responses(lengths, found, folder)
    no_engine = engine_model.available() if engine_too else "--provider"
    if no_engine is not None:
        left_out.append(f"everything on the engine: {no_engine}")
    else:
        _run_engine(lengths, found, folder)
    for what in left_out:
        print(f"\nleft out: {what}")
    return 0


def _run_provider(lengths: Lengths, found: programs.Programs, folder: Path) -> None:
    _print_costs(
        provider.measure_cost(
            found, folder, seconds=lengths.cost_s, rounds=lengths.cost_rounds, tell=_tell
        )
    )
    speeds = provider.measure_speed(
        found, folder, seconds=lengths.speed_s, streams=_STREAMS, tell=_tell
    )
    _print_speeds(speeds)
    _print_latency(speeds)
    _print_crowds(
        [
            endurance.measure_crowd(found, folder, workers=workers, tell=_tell)
            for workers in provider.WORKERS
        ]
    )
    _print_growth(
        [
            endurance.measure_growth(
                found,
                folder,
                requests=lengths.requests,
                steps=_STEPS,
                workers=workers,
                tell=_tell,
            )
            for workers in provider.WORKERS
        ]
    )


def _run_responses_alone(lengths: Lengths, folder: Path) -> int:
    found = programs.found(folder)
    if found is None:
        print(f"cannot measure: {programs.NO_COMPILER}", file=sys.stderr)
        return 1
    _run_responses(lengths, found, folder)
    return 0


def _run_responses(lengths: Lengths, found: programs.Programs, folder: Path) -> None:
    _print_responses(
        responses.measure(
            found, folder, seconds=lengths.cost_s, rounds=lengths.cost_rounds, tell=_tell
        )
    )


def _run_engine(lengths: Lengths, found: programs.Programs | None, folder: Path) -> None:
    if found is not None:
        _print_engine(
            engine.measure(found, folder, seconds=lengths.engine_s, streams=_STREAMS, tell=_tell)
        )
    _tell("starts")
    _print_start(start.measure(times=lengths.starts))


def _print_costs(costs: Sequence[provider.Cost]) -> None:
    print(
        f"\nCPU of an answer, {provider.STREAMS} at a time; a stream has {provider.CHUNKS} tokens"
    )
    by_name = {cost.server: cost for cost in costs}
    floor = by_name.get("nginx")
    rows = [
        (
            cost.server,
            f"{cost.json_us:.1f} µs",
            _over(cost.json_us, floor.json_us) if floor else "",
            f"{cost.burst_event_us:.2f} µs",
            _over(cost.burst_event_us, floor.burst_event_us) if floor else "",
            f"{cost.paced_event_us:.1f} µs",
            _over(cost.paced_event_us, floor.paced_event_us) if floor else "",
            f"{cost.memory_mb:.0f} MB",
        )
        for cost in costs
    ]
    _print_table(
        (
            *("", "JSON request", "over nginx", "event in bursts", "over nginx"),
            *(f"event every {provider.DELAY_MS:g} ms", "over nginx", "memory"),
        ),
        [*rows, _AIMS] if floor else rows,
    )
    router = by_name["the router"]
    _print_over("the router over the raw upstream", router, costs[0])
    if (litellm := by_name.get(servers.LITELLM)) is not None:
        _print_over("LiteLLM's proxy over the router", litellm, router)
        print("(aims: 35 × a JSON request, 150 × an event)")


def _print_over(what: str, cost: provider.Cost, least: provider.Cost) -> None:
    print(
        f"{what}: {_over(cost.json_us, least.json_us)} a JSON request, "
        f"{_over(cost.burst_event_us, least.burst_event_us)} an event in bursts, "
        f"{_over(cost.paced_event_us, least.paced_event_us)} an event every {provider.DELAY_MS:g} ms"
    )


def _print_speeds(speeds: Sequence[provider.Speed]) -> None:
    print("\nA provider's answers, as fast as they come")
    _print_table(
        ("", "at a time", "JSON requests/s", "streams/s", "tokens/s", "first token p50", "p99"),
        [
            (
                speed.server,
                str(speed.streams),
                f"{speed.json.per_second:,.0f}",
                f"{speed.stream.per_second:,.0f}",
                f"{speed.tokens_per_second:,.0f}",
                f"{speed.stream.first_byte_ms.p50:.1f} ms",
                f"{speed.stream.first_byte_ms.p99:.1f} ms",
            )
            for speed in speeds
        ],
    )


def _print_latency(speeds: Sequence[provider.Speed]) -> None:
    raw, router = (speed for speed in speeds if speed.streams == 1)
    print("\nWhat the router adds to an answer, one at a time (aims: p50 1 ms, p99 3 ms)")
    answers = (
        ("JSON, whole", "json", "whole_ms"),
        ("stream, first byte", "stream", "first_byte_ms"),
    )
    rows = []
    for name, kind, what in answers:
        direct, through = (getattr(getattr(speed, kind), what) for speed in (raw, router))
        rows.append(
            (
                name,
                *(f"{through.p50 - direct.p50:.2f} ms", f"{through.p99 - direct.p99:.2f} ms"),
            )
        )
    _print_table(("", "p50", "p99"), rows)


def _print_crowds(crowds: Sequence[endurance.Crowd]) -> None:
    print(f"\n{endurance.CROWD} streams at a time, an event every {provider.DELAY_MS:g} ms")
    _print_table(
        ("", "events/s", "lost", "late p50", "late p99", "CPU", "memory"),
        [
            *(
                (
                    crowd.server,
                    f"{crowd.events_per_second:,.0f}",
                    str(crowd.lost),
                    f"{crowd.late_p50_ms:.0f} ms",
                    f"{crowd.late_p99_ms:.0f} ms",
                    f"{crowd.cores:.2f} cores",
                    f"{crowd.memory_mb:.0f} MB",
                )
                for crowd in crowds
            ),
            ("an aim", "", "0", "", "< 300 ms", "", "≤ 150 MB"),
        ],
    )


def _print_growth(growths: Sequence[Sequence[endurance.Growth]]) -> None:
    print("\nMemory after so many JSON requests")
    _print_table(
        ("", *(f"{requests:,}" for requests in _even_steps(growths[0]))),
        [
            (growth[0].server, *(f"{each.memory_mb:.1f} MB" for each in growth))
            for growth in growths
        ],
    )


def _even_steps(growth: Sequence[endurance.Growth]) -> list[int]:
    """Rounds to what was asked for: the load generator counts time, not requests."""
    return [round(each.requests, -3) for each in growth]


def _print_responses(measured: responses.Measured) -> None:
    print(
        f"\nCPU of a stored response, {provider.STREAMS} at a time; nginx passes the chat completion"
    )
    floor = measured.costs[:-1]
    columns = ("json_us", "burst_event_us", "paced_event_us")
    rows = []
    for cost in measured.costs:
        row = [cost.server]
        for column in columns:
            value = getattr(cost, column)
            row += [f"{value:.1f} µs", _over(value, getattr(floor[0], column)) if floor else ""]
        rows.append(row)
    _print_table(
        (
            *("", "JSON response", "over nginx", "event in bursts", "over nginx"),
            *(f"event every {provider.DELAY_MS:g} ms", "over nginx"),
        ),
        [*rows, ("an aim", "", "≤ 140 ×", "", "≤ 17 ×", "", "≤ 4 ×")] if floor else rows,
    )
    print(
        f"memory of an open stream: {measured.stream_kb:.0f} KB (an aim: 60 KB)\n"
        f"a conversation of {responses.CHAIN_ITEMS} items of {responses.ITEM_BYTES} bytes: "
        f"{measured.chain_ms:.1f} ms (an aim: 10 ms)"
    )


def _print_engine(measured: engine.Measured) -> None:
    print(f"\nThe embedded engine's streams of {engine.TOKENS} tokens; CPU per stream")
    _print_table(
        (
            *("", "at a time", "streams/s", "tokens/s", "first token p50", "p99"),
            *("engine's CPU", "router's CPU", "router's over the raw engine's"),
        ),
        [
            (
                reply.server,
                str(reply.streams),
                f"{reply.result.per_second:.1f}",
                f"{reply.tokens_per_second:,.0f}",
                f"{reply.result.first_byte_ms.p50:.0f} ms",
                f"{reply.result.first_byte_ms.p99:.0f} ms",
                f"{reply.engine_us / 1000:.1f} ms",
                f"{reply.router_us / 1000:.1f} ms" if reply.router_us else "",
                _over(reply.router_us, raw.engine_us) if reply.router_us else "",
            )
            for reply in measured.replies
            for raw in measured.replies[: len(_STREAMS)]
            if raw.streams == reply.streams
        ],
    )
    print(f"\nmemory of router and engine after that load: {measured.memory_mb:.0f} MB")


def _print_start(started: start.Start) -> None:
    print(
        f"\nstart, warm: /health after {started.health_s:.2f} s, "
        f"the engine's first answer after {started.answer_s:.2f} s (an aim: 1.5 s), "
        f"{started.cpu_s:.2f} s of CPU\n"
        f"memory of router and engine after it: {started.memory_mb:.0f} MB (an aim: 170 MB)"
    )


def _over(value: float, least: float) -> str:
    times = value / least
    return f"{times:.2f} ×" if times < 1 else f"{times:.1f} ×"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table that is Markdown as well."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    table.insert(1, ["-" * width for width in widths])
    for row in table:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        aligned = [cell.strip().rjust(len(cell)) for cell in others]
        print(f"| {' | '.join([first, *aligned])} |", flush=True)


def _tell(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
