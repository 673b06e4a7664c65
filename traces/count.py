"""Counting parameters from the architecture alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dieshot.traces.dtype import bytes_of

if TYPE_CHECKING:
    from dieshot.traces.config import ModelConfig


def n_parameters(model: ModelConfig) -> int:
    """Return the exact number of parameters of the network, without task heads of an encoder."""
    if model.recurrent:
        return _ends(model) + model.num_hidden_layers * (_mamba(model) + model.hidden_size)
    return _ends(model) + model.num_hidden_layers * (_attention(model) + _feed_forward(model) + _norms(model))


def n_active_parameters(model: ModelConfig) -> int:
    """Return the number of parameters that one token uses."""
    idle_experts = model.num_experts - model.num_experts_per_tok
    return n_parameters(model) - model.num_hidden_layers * idle_experts * _expert(model)


def kv_bytes_per_token(model: ModelConfig, dtype: str) -> int:
    """Return the bytes of keys and values of one token over all layers."""
    if model.encoder:
        return 0
    return model.num_hidden_layers * 2 * bytes_of(model.num_key_value_heads * model.head_dim, dtype)


def state_bytes_per_sequence(model: ModelConfig, dtype: str, ranks: int = 1) -> int:
    """Return the bytes of the state of one sequence over all layers; of one of `ranks` that share the channels."""
    if not model.recurrent:
        return 0
    channels = -(-model.intermediate_size // ranks)
    convolution, scan = channels * (model.conv_kernel - 1), channels * model.state_size
    return model.num_hidden_layers * (bytes_of(convolution, dtype) + bytes_of(scan, dtype))


def _mamba(model: ModelConfig) -> int:
    inner, hidden, state = model.intermediate_size, model.hidden_size, model.state_size
    ends = 3 * hidden * inner + (2 * inner + hidden) * model.mlp_bias
    convolution = inner * (model.conv_kernel + model.conv_bias)
    inputs = inner * (model.time_step_rank + 2 * state) + (model.time_step_rank + 1) * inner
    return ends + convolution + inputs + inner * (state + 1)


def _ends(model: ModelConfig) -> int:
    hidden = model.hidden_size
    tables = (model.vocab_size + model.learned_positions + model.token_types) * hidden
    if model.encoder:
        return tables + 2 * hidden + hidden * hidden + hidden  # embedding norm, then the pooler
    lm_head = 0 if model.tie_word_embeddings or model.headless else model.vocab_size * hidden
    return tables + hidden + lm_head


def _attention(model: ModelConfig) -> int:
    query = model.num_attention_heads * model.head_dim
    qkv = query + 2 * model.num_key_value_heads * model.head_dim
    weights = model.hidden_size * (qkv + query)
    biases = qkv * model.qkv_bias + model.hidden_size * model.output_bias
    return weights + biases + 2 * model.head_dim * model.qk_norm


def _feed_forward(model: ModelConfig) -> int:
    if model.sparse:
        return model.hidden_size * model.num_experts + model.num_experts * _expert(model)
    n_inward = 1 if model.encoder else 2
    weights = (n_inward + 1) * model.hidden_size * model.intermediate_size
    biases = n_inward * model.intermediate_size + model.hidden_size
    return weights + biases * model.mlp_bias


def _expert(model: ModelConfig) -> int:
    return 3 * model.hidden_size * model.moe_intermediate_size


def _norms(model: ModelConfig) -> int:
    # Two norms a layer: a gain each, and in a LayerNorm a shift as well.
    return (4 if model.encoder else 2) * model.hidden_size
