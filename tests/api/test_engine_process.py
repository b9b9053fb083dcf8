"""The engine for real: llama.cpp in its child process, with the shipped model."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from trunkline.engine import supervisor as supervision
from trunkline.engine.client import Completion, Done, EngineClient, Piece
from trunkline.engine.endpoint import Endpoint, endpoint_file
from trunkline.engine.model import NANO, Model, nano, open_model
from trunkline.engine.session import authorization, open_session
from trunkline.engine.supervisor import Supervisor
from trunkline.errors import EngineUnavailable, InvalidRequest, StartError, UpstreamError

SYSTEM = (
    "You are a tiny built-in test model.\nCurrent date: 2026-11-22\n\nReasoning: medium\n\n"
    "# Valid channels: analysis, commentary, final."
)
ANSWER = (
    "<|channel|>analysis<|message|>The user asks for the capital of France. It is Paris.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>The capital of France is Paris."
)
PATIENCE_S = 20.0  # a machine may be busy; nothing here takes a second by itself


@asynccontextmanager
async def engine(
    model: Model | None = None, **options: Any
) -> AsyncIterator[tuple[Supervisor, EngineClient]]:
    supervisor = Supervisor(model or nano(), **options)
    async with supervisor, EngineClient(supervisor.endpoint, slots=8, queue=8) as client:
        await supervisor.started()
        yield supervisor, client


def prompt(endpoint: Endpoint, question: str = "What is the capital of France?") -> list[int | str]:
    mark = endpoint.markers
    system: list[int | str] = [
        mark["<|start|>"],
        "system",
        mark["<|message|>"],
        SYSTEM,
        mark["<|end|>"],
    ]
    user: list[int | str] = [
        mark["<|start|>"],
        "user",
        mark["<|message|>"],
        question,
        mark["<|end|>"],
    ]
    return [*system, *user, mark["<|start|>"], "assistant"]


def endless(endpoint: Endpoint) -> Completion:
    """A completion that goes on until the context is full: thousands of tokens."""
    ends = {endpoint.markers["<|return|>"]: -1000.0, endpoint.markers["<|call|>"]: -1000.0}
    return Completion(prompt=prompt(endpoint), temperature=0, logit_bias=ends)


async def output(client: EngineClient, completion: Completion) -> tuple[list[Piece], Done]:
    async with client.slot(), client.complete(completion) as reads:
        *pieces, done = [piece async for read in reads for piece in read]
    assert isinstance(done, Done)
    return [piece for piece in pieces if isinstance(piece, Piece)], done


async def ask(client: EngineClient, **options: Any) -> tuple[str, Done]:
    endpoint = await client.wait_ready()
    completion = Completion(prompt=prompt(endpoint), temperature=0, **options)
    pieces, done = await output(client, completion)
    return "".join(piece.text for piece in pieces), done


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def busy_slots(endpoint: Endpoint) -> int:
    async with (
        open_session(read_timeout_s=PATIENCE_S) as session,
        session.get(endpoint.address + "/slots", headers=authorization(endpoint)) as response,
    ):
        return sum(slot["is_processing"] for slot in msgspec.json.decode(await response.read()))


def alive(pid: int) -> bool:
    """Tells whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def altered(folder: Path, before: bytes, after: bytes) -> Path:
    """A copy of the shipped model whose header is sound and whose tensors are not gpt-oss's."""
    path = folder / "altered.gguf"
    path.write_bytes(NANO.read_bytes().replace(before, after))
    return path


def test_the_engine_completes_and_counts():
    async def main():
        async with engine() as (supervisor, client):
            endpoint = await client.wait_ready()
            first = await output(client, Completion(prompt=prompt(endpoint), temperature=0))
            again = await output(client, Completion(prompt=prompt(endpoint), temperature=0))
            return supervisor.state, endpoint, first, again

    state, endpoint, (pieces, done), (_, cached) = asyncio.run(main())
    assert (state, endpoint.model) == ("ready", "trunkline/gpt-oss-nano")
    assert "".join(piece.text for piece in pieces) == ANSWER
    assert pieces[-1].tokens == [endpoint.markers["<|return|>"]]
    assert [piece.predicted for piece in pieces] == list(range(1, done.predicted_tokens + 1))
    assert (done.stop_type, done.prompt_tokens, done.cached_tokens) == ("eos", 59, 0)
    assert 0 < cached.cached_tokens < cached.prompt_tokens == 59


def test_a_completion_ends_at_a_stop_string_a_limit_or_the_context():
    async def main():
        async with engine(context=256) as (_, client):
            endpoint = await client.wait_ready()
            word = await ask(client, stop=["<|message|>"])
            limit = await ask(client, max_tokens=3)
            _, full = await output(client, endless(endpoint))
            return word, limit, full, endpoint.context

    (word_text, word), (_, limit), full, context = asyncio.run(main())
    assert (word_text, word.stop_type, word.stopping_word) == (
        "<|channel|>analysis",
        "word",
        "<|message|>",
    )
    assert (limit.stop_type, limit.predicted_tokens) == ("limit", 3)
    assert (full.stop_type, context) == ("limit", 256)
    assert context - 2 <= full.prompt_tokens + full.predicted_tokens <= context + 1


def test_grammar_seed_and_logprobs_reach_the_sampler():
    async def main():
        async with engine() as (_, client):
            endpoint = await client.wait_ready()
            bound = await ask(client, grammar='root ::= "yes" | "no"')
            hot = Completion(prompt=prompt(endpoint), temperature=2.0, seed=7, max_tokens=20)
            texts = [[p.text for p in (await output(client, hot))[0]] for _ in range(2)]
            probed = Completion(prompt=prompt(endpoint), temperature=0, n_probs=3, max_tokens=4)
            pieces, _ = await output(client, probed)
            return bound, texts, pieces

    (bound, _), texts, pieces = asyncio.run(main())
    assert bound in ("yes", "no")
    assert texts[0] == texts[1]
    for piece in pieces:
        (chosen,) = piece.logprobs
        assert [chosen.id] == piece.tokens
        assert len(chosen.top_logprobs) == 3
        assert chosen.logprob == chosen.top_logprobs[0].logprob <= 0


def test_the_markers_of_the_header_are_those_of_the_tokenizer():
    async def main():
        async with engine() as (_, client):
            endpoint = await client.wait_ready()
            return [(await client.tokenize(mark), [id]) for mark, id in endpoint.markers.items()]

    assert all(tokens == expected for tokens, expected in asyncio.run(main()))


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers():
    async def main():
        async with engine(context=256) as (_, client):
            endpoint = await client.wait_ready()
            await output(client, Completion(prompt=prompt(endpoint, "word " * 1000)))

    with pytest.raises(InvalidRequest, match=r"context holds 256 tokens and the prompt has \d{4}"):
        asyncio.run(main())


def test_hanging_up_frees_the_slot():
    async def main():
        async with engine() as (_, client):
            endpoint = await client.wait_ready()
            async with client.slot(), client.complete(endless(endpoint)) as reads:
                await anext(reads)
                during = await busy_slots(endpoint)
            deadline = time.monotonic() + PATIENCE_S
            while await busy_slots(endpoint):
                assert time.monotonic() < deadline
            return during, client.admission.running

    assert asyncio.run(main()) == (1, 0)


def test_a_killed_engine_costs_the_running_reply_and_nothing_else():
    async def main():
        reasons: list[str] = []
        async with engine(on_restart=reasons.append) as (supervisor, client):
            endpoint = await client.wait_ready()
            async with client.complete(endless(endpoint)) as reads:
                await anext(reads)
                os.kill(endpoint.pid, signal.SIGKILL)
                with pytest.raises(UpstreamError) as failure:
                    [_ async for _ in reads]
            text, _ = await ask(client)
            after = await client.wait_ready()
            return failure.value, text, reasons, supervisor.restarts, endpoint, after

    failure, text, reasons, restarts, before, after = asyncio.run(main())
    assert (failure.retryable, text, reasons, restarts) == (True, ANSWER, ["died"], 1)
    assert before.secret != after.secret
    assert before.pid != after.pid


def test_an_engine_that_does_not_answer_is_replaced():
    async def main():
        reasons: list[str] = []
        options: dict[str, Any] = {
            "probe_every_s": 0.02,
            "probe_timeout_s": 0.2,
            "on_restart": reasons.append,
        }
        async with engine(**options) as (_, client):
            os.kill((await client.wait_ready()).pid, signal.SIGSTOP)
            await until(lambda: reasons)
            text, _ = await ask(client)
            return reasons[0], text

    assert asyncio.run(main()) == ("unresponsive", ANSWER)


def test_an_engine_whose_slot_makes_no_progress_is_replaced():
    async def main():
        reasons: list[str] = []
        # No engine is fast enough for a patience of nothing: any busy slot counts as stuck.
        options: dict[str, Any] = {
            "probe_every_s": 0.01,
            "stall_s": 0.0,
            "on_restart": reasons.append,
        }
        async with engine(**options) as (_, client):
            with suppress(UpstreamError):
                while not reasons:
                    await output(client, endless(await client.wait_ready()))
            await until(lambda: reasons)
            return reasons[0]

    assert asyncio.run(main()) == "stalled"


def test_signals_for_the_whole_group_are_left_to_the_parent():
    async def main():
        async with engine() as (supervisor, client):
            endpoint = await client.wait_ready()
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(endpoint.pid, number)
            text, _ = await ask(client)
            return text, supervisor.restarts, alive(endpoint.pid), endpoint

    text, restarts, was_alive, endpoint = asyncio.run(main())
    assert (text, restarts, was_alive) == (ANSWER, 0, True)
    assert not alive(endpoint.pid)


ORPHAN = """
import asyncio
from trunkline import log
from trunkline.engine.model import nano
from trunkline.engine.supervisor import Supervisor

async def main():
    log.configure(level="error")
    async with Supervisor(nano()) as supervisor:
        await supervisor.started()
        print(supervisor.endpoint().pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_child_dies_with_a_parent_that_was_killed():
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    asyncio.run(until(lambda: not alive(child)))


def test_the_secret_shows_neither_in_the_arguments_nor_in_the_environment(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_SECRET", "installation-secret")
    monkeypatch.setenv("GROQ_API_KEY", "provider-key")

    async def main():
        async with engine() as (_, client):
            endpoint = await client.wait_ready()
            process = Path(f"/proc/{endpoint.pid}")
            return (
                endpoint.secret,
                (process / "cmdline").read_text(),
                (process / "environ").read_text(),
            )

    secret, arguments, environment = asyncio.run(main())
    assert "-m\0trunkline.engine\0" in arguments
    for hidden in (secret, "installation-secret", "provider-key"):
        assert hidden not in arguments
        assert hidden not in environment


def test_workers_share_one_engine_and_follow_its_restart(tmp_path):
    path = tmp_path / "run" / "engine.json"

    async def main():
        async with (
            Supervisor(nano(), publish_to=path) as supervisor,
            EngineClient(endpoint_file(path), slots=4, queue=4) as one,
            EngineClient(endpoint_file(path), slots=4, queue=4) as other,
        ):
            before = await asyncio.gather(ask(one), ask(other))
            endpoint = await one.wait_ready()
            os.kill(endpoint.pid, signal.SIGKILL)
            after = await asyncio.gather(ask(one), ask(other))
            assert await other.wait_ready() == supervisor.endpoint() != endpoint
            return [text for text, _ in [*before, *after]]

    assert asyncio.run(main()) == [ANSWER] * 4
    with pytest.raises(EngineUnavailable, match="stopped"):
        endpoint_file(path)()


def test_a_model_that_llama_cpp_refuses_stops_the_start_at_once(tmp_path):
    model = open_model(altered(tmp_path, b"output_norm.weight", b"output_NORM.weight"))

    async def main():
        async with Supervisor(model) as supervisor:
            with pytest.raises(StartError, match=r"cannot load .*altered\.gguf") as failure:
                await supervisor.started()
            with pytest.raises(EngineUnavailable):
                supervisor.endpoint()
            return str(failure.value), supervisor.state, supervisor.restarts

    message, state, restarts = asyncio.run(main())
    assert message.endswith("tensor 'output_norm.weight' not found")
    assert (state, restarts) == ("off", 0)


def test_a_model_that_loads_too_slowly_stops_the_start():
    async def main():
        async with Supervisor(nano(), start_timeout_s=0.001) as supervisor:
            await supervisor.started()

    with pytest.raises(StartError, match=r"it was not ready within 0\.001 s"):
        asyncio.run(main())


def test_a_probe_that_is_not_understood_costs_the_child_and_not_the_router(monkeypatch):
    decode = supervision._decode_slots

    async def main():
        reasons: list[str] = []
        async with engine(on_restart=reasons.append, probe_every_s=0.05) as (supervisor, client):
            before = await client.wait_ready()
            monkeypatch.setattr(supervision, "_decode_slots", lambda _: decode(b"garbage"))
            await until(lambda: reasons)
            monkeypatch.setattr(supervision, "_decode_slots", decode)
            await until(lambda: supervisor.state == "ready")
            text, _ = await ask(client)
            return reasons[0], text, alive(before.pid)

    with capture_logs() as logs:
        assert asyncio.run(main()) == ("failed", ANSWER, False)
    (logged,) = [log for log in logs if log["event"] == "engine_supervision_failed"][:1]
    assert logged["exc_info"]


def test_an_engine_whose_process_cannot_be_made_stops_the_start(monkeypatch):
    async def no_more_processes(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    async def main():
        monkeypatch.setattr(asyncio, "create_subprocess_exec", no_more_processes)
        async with Supervisor(nano()) as supervisor:
            await supervisor.started()

    with pytest.raises(StartError, match="no more processes"):
        asyncio.run(main())
