"""Does the file compute in llama.cpp what the model computes in torch?"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import Request, urlopen  # noqa: TID251  # of a server started here

import torch
import xllamacpp

from nano.corpus import scene
from nano.model import Model
from nano.packing import Encoder, Tree, packed

TOLERANCE = 0.05
"""Largest difference of log-probabilities that weights of 16 bits explain."""
_PROMPTS, _TOKENS_COMPARED = 12, 10
_CONTEXT, _TIMEOUT_S = 4096, 60


def difference(path: Path, model: Model, encode: Encoder) -> float:
    """Returns the largest difference between log-probabilities of the likeliest next tokens."""
    server = _serve(path)
    random = Random(0)
    prompts = [encode(scene(random)[-1].prompt)[-_CONTEXT + 1 :] for _ in range(_PROMPTS)]
    return max(_compared(server.listening_address, model, prompt) for prompt in prompts)


def _serve(path: Path) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_parallel, parameters.n_ctx, parameters.port = 1, _CONTEXT, 0
    parameters.warmup, parameters.n_gpu_layers, parameters.verbosity = False, 0, 0
    return xllamacpp.Server(parameters)


@torch.no_grad()
def _compared(address: str, model: Model, prompt: list[int]) -> float:
    length = len(prompt)
    order = list(range(length))
    line = Tree(prompt, [place - 1 for place in order], order, [(length - 1, 0)])
    batch = packed([line], model.shape)
    logits = model(batch.ids, batch.positions, batch.everything, batch.near, batch.places)
    ours = logits[0].log_softmax(-1)
    wanted = {"prompt": prompt, "n_predict": 1, "n_probs": _TOKENS_COMPARED, "temperature": 0}
    request = Request(
        f"{address}/completion",
        json.dumps(wanted).encode(),
        {"Content-Type": "application/json", "Connection": "close"},
    )
    with urlopen(request, timeout=_TIMEOUT_S) as response:
        answer = json.load(response)
    theirs = answer["completion_probabilities"][0]["top_logprobs"]
    return max(abs(token["logprob"] - ours[token["id"]].item()) for token in theirs)
