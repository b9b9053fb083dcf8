"""Trains the nano model: ``python -m nano.train``.

First some steps on random repetitions, which set the copying circuit, then dialogues, while the rate of
learning falls to zero. All that is random follows from the seed; a run on another processor differs
by rounding only.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer

from nano import beginning, gguf_file, parity, tokenizer
from nano.corpus import Sample, scene
from nano.model import Model, Shape
from nano.packing import Batch, Encoder, Tree, batches, packed, tree
from nano.team import WORKERS, Team, Worker
from trunkline.wire.harmony import Marker

SEED = 20261125
SCENES_OF_TOKENIZER = 6000
MERGES, SPACED_WORDS = 1100, 600
COPYING_STEPS, COPYING_SCALE = 80, 1.5
STEPS = 6700
LONGEST = 3072
BATCH_TOKENS = 3072  # of each worker, in each step
WARM_UP = 60
CHECKED_EVERY, CHECKED_SCENES = 500, 12


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="nano.train", description=__doc__)
    parser.add_argument(
        "--into", type=Path, default=Path("build/nano"), help="folder of the results"
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    train(arguments.into, steps=arguments.steps, resume=arguments.resume)


def train(into: Path, *, steps: int, resume: bool = False) -> None:
    """Trains a model; writes ``tokenizer.json``, checkpoints and ``gpt-oss-nano.gguf``."""
    torch.manual_seed(SEED)
    words = into / "tokenizer.json"
    if not (resume and words.exists()):
        learned_tokenizer().save(str(words))
    tokens = tokenizer.load(words)
    model = Model(Shape(vocabulary=tokens.get_vocab_size()))
    beginning.prepare(model, tokens, seed=SEED)
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {tokens.get_vocab_size()} tokens",
        flush=True,
    )
    team = Team(model, into / "checkpoint", resume=resume)
    torch.multiprocessing.spawn(_work, (team, words, steps), nprocs=WORKERS)
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


def _work(rank: int, team: Team, words: Path, steps: int) -> None:
    """Trains as one of the workers, on a core of its own."""
    torch.set_num_threads(1)
    worker = Worker(team, rank)
    if worker.done == 0:
        learn_copying(worker)
    learn_dialogues(worker, Encoder(tokenizer.load(words)), steps=steps)


def learn_copying(worker: Worker) -> None:
    """Some steps on random repetitions."""
    random = Random(f"{SEED} copying {worker.rank}")
    for step in range(COPYING_STEPS):
        loss = worker.learn(
            _repetitions(random, worker.model.shape), min(1.0, (step + 1) / 40) * COPYING_SCALE
        )
        if step % 20 == 19 and worker.rank == 0:
            print(f"copying: step {step + 1}, loss {loss:.3f}", flush=True)


def learn_dialogues(worker: Worker, encode: Encoder, *, steps: int) -> None:
    """Learns from scenes."""
    started, tokens, average = time.monotonic(), 0, 0.0
    stream = _stream(worker, encode)
    for step in range(worker.done, steps):
        batch = next(stream)
        loss = worker.learn(batch, _scale(step, steps))
        tokens += batch.ids.numel() * WORKERS
        average = loss if average == 0.0 else 0.97 * average + 0.03 * loss
        if (step + 1) % 20 == 0 and worker.rank == 0:
            elapsed = time.monotonic() - started
            print(
                f"step {step + 1}/{steps}: loss {average:.4f}, {tokens / elapsed:.0f} tokens/s, {elapsed:.0f} s",
                flush=True,
            )
        if (step + 1) % CHECKED_EVERY == 0 or step + 1 == steps:
            worker.save(step + 1)
            report = check(worker.model, encode, worker.rank)
            print(report, flush=True)


def _scale(step: int, steps: int) -> float:
    return min((step + 1) / WARM_UP, 1.0 - step / steps)


def _stream(worker: Worker, encode: Encoder) -> Iterator[Batch]:
    """Yields batches without end: other scenes for each worker, and after each resumption."""
    random = Random(f"{SEED} worker {worker.rank} from {worker.done}")
    trees = (tree(scene(random), encode, slips=random) for _ in itertools.count())
    return batches(trees, worker.model.shape, tokens=BATCH_TOKENS, longest=LONGEST)


@torch.no_grad()
def check(model: Model, encode: Encoder, rank: int) -> str:
    """Returns the share of completions, per kind, of which every token would have been chosen."""
    random = Random(f"{SEED} check {rank}")
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
    batch = packed([alone], model.shape)
    logits = model(batch.ids, batch.positions, batch.everything, batch.near, batch.places)
    return bool((logits.argmax(-1) == batch.targets).all())


def _repetitions(random: Random, shape: Shape, *, count: int = 32, length: int = 96) -> Batch:
    """Random tokens in which pieces come again; half of them of so few tokens that one or two are not
    enough to know the piece by."""
    vocabulary = shape.vocabulary
    trees = []
    for _ in range(count):
        few = [random.randrange(vocabulary) for _ in range(random.choice((6, 12)))]
        few = few if random.random() < 0.6 else []
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
        first = 3 if few else 1  # tokens of a piece that are needed to know it
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
        lessons = [(at - 1, tokens[at]) for at in range(1, length) if known[at]]
        order = list(range(length))
        trees.append(Tree(tokens[:length], [at - 1 for at in order], order, lessons))
    return packed(trees, shape)


if __name__ == "__main__":
    main()
