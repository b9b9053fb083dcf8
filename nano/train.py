"""Trains the nano model: ``python -m nano.train``.

First some steps on random repetitions, which set the copying circuit, then dialogues. The rate of
learning stays up for a while, then drops to a half and falls to zero: at the full rate the loss stops
falling long before there is nothing more to learn. All that is random follows from the seed; a
run on another processor differs by rounding only.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from nano import beginning, gguf_file, parity, tokenizer
from nano.corpus import Sample, scene
from nano.model import Model, Shape
from nano.optimizer import Optimizer
from nano.packing import Batch, Encoder, batches, stacked, tree
from trunkline.wire.harmony import Marker

SEED = 20261122
SCENES_OF_TOKENIZER = 6000
MERGES, SPACED_WORDS = 700, 380
COPYING_STEPS, COPYING_RATE = 80, 0.012
STEPS = 7100
HIGH_STEPS = 1600  # at the full rate; then it drops to a half and falls to zero
POOL, LONGEST = 320, 2304
# More tokens per step while everything is new, then more steps.
FIRST_POOLS, FIRST_BATCH_TOKENS, BATCH_TOKENS = 22, 8192, 4096
MATRIX_RATE, RATE = 0.012, 4e-3
WARM_UP = 60
BALANCE = 0.01
GRADIENT_NORM = 1.0
CHECKED_EVERY, CHECKED_SCENES = 200, 60


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="nano.train", description=__doc__)
    parser.add_argument(
        "--into", type=Path, default=Path("build/nano"), help="folder of the results"
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.into.mkdir(parents=True, exist_ok=True)
    train(arguments.into, steps=arguments.steps, resume=arguments.resume)


def train(into: Path, *, steps: int, resume: bool = False) -> None:
    """Trains a model; writes ``tokenizer.json``, ``checkpoint.pt`` and ``gpt-oss-nano.gguf``."""
    torch.manual_seed(SEED)
    words = into / "tokenizer.json"
    if not (resume and words.exists()):
        learned_tokenizer().save(str(words))
    tokens = tokenizer.load(words)
    model = Model(Shape(vocabulary=tokens.get_vocab_size()))
    optimizer = Optimizer(model, matrix_rate=MATRIX_RATE, rate=RATE)
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {tokens.get_vocab_size()} tokens",
        flush=True,
    )
    done = 0
    saved = into / "checkpoint.pt"
    if resume and saved.exists():
        state = torch.load(saved)
        model.load_state_dict(state["model"])
        optimizer.load_state(state["optimizer"])
        done = state["step"]
    else:
        beginning.prepare(model, tokens, seed=SEED)
        learn_copying(model, optimizer)
    learn_dialogues(model, optimizer, Encoder(tokens), done=done, steps=steps, saved=saved)
    file = into / "gpt-oss-nano.gguf"
    gguf_file.write(file, model, tokens)
    distance = parity.difference(file, model, Encoder(tokens))
    print(f"{file}: {file.stat().st_size} bytes, log-probabilities differ by {distance:.4f}")
    if distance > parity.TOLERANCE:
        sys.exit("llama.cpp does not compute what was trained")


def learned_tokenizer() -> Tokenizer:
    """Learns the tokenizer from scenes that are not trained on."""
    random = Random(f"{SEED} tokenizer")
    texts: list[str] = []
    for _ in range(SCENES_OF_TOKENIZER):
        pieces = {p: None for s in scene(random) for p in s.prompt + s.completion}
        texts += [piece for piece in pieces if not isinstance(piece, Marker)]
    return tokenizer.learn(texts, merges=MERGES, spaced_words=SPACED_WORDS)


def learn_copying(model: Model, optimizer: Optimizer) -> None:
    """Some steps on random repetitions."""
    random = Random(f"{SEED} copying")
    for step in range(COPYING_STEPS):
        batch = _repetitions(random, model.shape.vocabulary)
        loss = _learn(model, batch)
        optimizer.step(min(1.0, (step + 1) / 40))
        if step % 20 == 19:
            print(f"copying: step {step + 1}, loss {loss:.3f}", flush=True)


def learn_dialogues(
    model: Model, optimizer: Optimizer, encode: Encoder, *, done: int, steps: int, saved: Path
) -> None:
    """Learns from scenes."""
    started, tokens, average = time.monotonic(), 0, 0.0
    for step, (pool, batch) in enumerate(_stream(encode), 0):
        if step < done:
            continue
        if step >= steps:
            break
        loss = _learn(model, batch)
        optimizer.step(_scale(step, steps))
        tokens += batch.ids.numel()
        average = loss if average == 0.0 else 0.97 * average + 0.03 * loss
        if (step + 1) % 20 == 0:
            elapsed = time.monotonic() - started
            print(
                f"step {step + 1}/{steps}: loss {average:.4f}, {tokens / elapsed:.0f} tokens/s, {elapsed:.0f} s, pool {pool}",
                flush=True,
            )
        if (step + 1) % CHECKED_EVERY == 0 or step + 1 == steps:
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state(), "step": step + 1},
                saved,
            )
            print(check(model, encode), flush=True)


def _scale(step: int, steps: int) -> float:
    if step < HIGH_STEPS:
        return min(1.0, (step + 1) / WARM_UP)
    return 0.5 * (steps - step) / (steps - HIGH_STEPS)


def _stream(encode: Encoder) -> Iterator[tuple[int, Batch]]:
    """Yields batches without end; each pool of scenes follows from its number."""
    number = 0
    while True:
        random = Random(f"{SEED} pool {number}")
        trees = (tree(scene(random), encode) for _ in range(POOL))
        tokens = FIRST_BATCH_TOKENS if number < FIRST_POOLS else BATCH_TOKENS
        for batch in batches(trees, tokens=tokens, longest=LONGEST, random=random):
            yield number, batch
        number += 1


def _learn(model: Model, batch: Batch) -> float:
    """Computes the gradients of a batch; returns its loss."""
    logits = model(batch.ids, batch.positions, batch.visible, batch.rows, batch.places)
    loss = functional.cross_entropy(logits, batch.targets)
    (loss + BALANCE * model.imbalance()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
    return loss.item()


@torch.no_grad()
def check(model: Model, encode: Encoder) -> str:
    """Returns the share of completions, per kind, of which every token would have been chosen."""
    random = Random(f"{SEED} check")
    whole: dict[str, list[bool]] = defaultdict(list)
    for _ in range(CHECKED_SCENES):
        for sample in scene(random):
            whole[sample.kind].append(_foreseen(model, sample, encode))
    shares = (f"{kind} {sum(right)}/{len(right)}" for kind, right in sorted(whole.items()))
    return "foreseen: " + ", ".join(shares)


def _foreseen(model: Model, sample: Sample, encode: Encoder) -> bool:
    alone = tree([sample], encode)
    if len(alone.tokens) > LONGEST:
        return True
    batch = stacked([alone])
    logits = model(batch.ids, batch.positions, batch.visible, batch.rows, batch.places)
    return bool((logits.argmax(-1) == batch.targets).all())


def _repetitions(random: Random, vocabulary: int, *, count: int = 40, length: int = 96) -> Batch:
    """Random tokens in which pieces come again; half of them of so few tokens that one is not enough
    to know the piece by."""
    rows: list[tuple[list[int], list[bool]]] = []
    for _ in range(count):
        few = [random.randrange(vocabulary) for _ in range(12)] if random.random() < 0.5 else None
        pieces = [
            [
                random.choice(few) if few else random.randrange(vocabulary)
                for _ in range(random.randint(3, 12))
            ]
            for _ in range(random.randint(2, 5))
        ]
        tokens: list[int] = []
        known: list[bool] = []
        seen: set[int] = set()
        first = 2 if few else 1  # tokens of a piece that are needed to know it
        while len(tokens) < length:
            if random.random() < 0.15:
                tokens.append(random.randrange(vocabulary))
                known.append(False)
                continue
            index = random.randrange(len(pieces))
            piece = pieces[index]
            tokens += piece
            known += [index in seen and place >= first for place in range(len(piece))]
            seen.add(index)
        rows.append((tokens[:length], known[:length]))
    ids = torch.tensor([tokens for tokens, _ in rows])
    learned = torch.tensor([known for _, known in rows])
    learned[:, 0] = False
    where, places = learned.nonzero(as_tuple=True)
    positions = torch.arange(length).expand(count, length)
    visible = torch.tril(torch.ones(length, length, dtype=torch.bool)).expand(count, length, length)
    return Batch(ids, positions, visible, where, places - 1, ids[where, places])


if __name__ == "__main__":
    main()
