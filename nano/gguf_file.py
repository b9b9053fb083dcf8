"""The trained model as a GGUF file of the ``gpt-oss`` architecture, as llama.cpp reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

import gguf
from nano.model import Model, Shape
from nano.tokenizer import PADDING, control_ids
from trunkline.wire.harmony import Marker

ARCHITECTURE = "gpt-oss"
_BEGINNING = "<|startoftext|>"
# Llama.cpp wants a template and knows by this one marker that the model speaks harmony; Trunkline
# renders prompts itself.
_TEMPLATE = (
    "{%- for m in messages -%}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}{#- <|channel|> -#}"
)


def write(path: Path, model: Model, tokenizer: Tokenizer) -> None:
    """Writes the model with 16-bit matrices."""
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    _describe(writer, model.shape)
    _add_vocabulary(writer, tokenizer)
    _add_tensors(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("gpt-oss-nano")
    writer.add_description("A tiny model for tests and demonstrations of Trunkline")
    writer.add_license("Apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.expert_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(shape.experts_used)
    writer.add_expert_feed_forward_length(shape.expert_width)
    writer.add_sliding_window(shape.window)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    writer.add_vocab_size(shape.vocabulary)


def _add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    tokens: list[str] = [""] * tokenizer.get_vocab_size()
    types = [gguf.TokenType.NORMAL] * len(tokens)
    for token, id_ in vocabulary.items():
        tokens[id_] = token
    for added in content["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = gguf.TokenType.CONTROL
    assert all(tokens)
    ids = control_ids(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-4o")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in content["model"]["merges"]])
    writer.add_bos_token_id(ids[_BEGINNING])
    writer.add_eos_token_id(ids[Marker.RETURN.value])
    writer.add_pad_token_id(ids[PADDING])
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)


def _add_tensors(writer: gguf.GGUFWriter, model: Model) -> None:
    shape = model.shape
    embedding = _half(model.embedding.weight)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", embedding)  # llama.cpp wants it a second time
    writer.add_tensor("output_norm.weight", _full(model.norm.weight))
    for index, layer in enumerate(model.layers):
        attention, experts, block = layer.attention, layer.experts, f"blk.{index}"
        writer.add_tensor(f"{block}.attn_norm.weight", _full(layer.attention_norm.weight))
        writer.add_tensor(f"{block}.post_attention_norm.weight", _full(layer.experts_norm.weight))
        rows = [heads * shape.head_width for heads in attention.split]
        weights, biases = attention.qkv.weight.split(rows), attention.qkv.bias.split(rows)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            writer.add_tensor(f"{block}.attn_{name}.weight", _half(weight))
            writer.add_tensor(f"{block}.attn_{name}.bias", _full(bias))
        writer.add_tensor(f"{block}.attn_output.weight", _half(attention.out.weight))
        writer.add_tensor(f"{block}.attn_output.bias", _full(attention.out.bias))
        writer.add_tensor(f"{block}.attn_sinks.weight", np.zeros(shape.heads, np.float32))
        writer.add_tensor(f"{block}.ffn_gate_inp.weight", _full(experts.router.weight))
        writer.add_tensor(f"{block}.ffn_gate_inp.bias", _full(experts.router.bias))
        gate, up = experts.gate_up.chunk(2, -1)
        gate_bias, up_bias = experts.gate_up_bias.chunk(2, -1)
        parts = (("gate", gate, gate_bias), ("up", up, up_bias), ("down", experts.down, experts.down_bias))  # fmt: skip
        for name, weight, bias in parts:
            writer.add_tensor(f"{block}.ffn_{name}_exps.weight", _half(weight.transpose(1, 2)))
            writer.add_tensor(f"{block}.ffn_{name}_exps.bias", _full(bias))


def _half(tensor: Tensor) -> NDArray[np.float16]:
    return _full(tensor).astype(np.float16)


def _full(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().contiguous().numpy()
