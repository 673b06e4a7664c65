"""Reading a Hugging Face `config.json` from a local path."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dieshot.traces import document
from dieshot.traces.config import ModelConfig
from dieshot.traces.error import TraceError, nearest_name, show

MAX_LAYERS = 10_000
MAX_WIDTH = 1 << 20
MAX_HEADS = 1 << 16
MAX_VOCAB = 1 << 24
MAX_POSITIONS = 1 << 30
_BIGGEST = 1 << 40

_ARCHITECTURES: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "gemma": "GemmaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "bert": "Bert",
    "mamba": "MambaForCausalLM",
}
MODEL_TYPES = tuple(sorted(_ARCHITECTURES))

Raw = Mapping[str, Any]


def load_model_config(path: str | Path) -> ModelConfig:
    """Read the `config.json` at `path` (no network access) and return the model.

    Raises TraceError on an unreadable file, an unsupported `model_type`, and a missing, ill-typed or absurd key.
    Keys follow transformers' configuration classes, defaults included.
    """
    path = Path(path)
    raw = document.parse_object(document.read_bounded(path, document.MAX_CONFIG_BYTES), str(path))
    return model_config(raw, where=str(path), name=_model_name(path))


def model_config(raw: Raw, where: str, name: str) -> ModelConfig:
    """Return the model that the parsed `config.json` content `raw` describes; `where` names it in errors."""
    model_type = _model_type(raw, where)
    _refuse_unsupported(raw, where)
    if model_type == "mamba":
        return _mamba(raw, where, name)
    fields = _shape(raw, where) | _feed_forward(raw, where, model_type) | _options(raw, where, model_type)
    model = ModelConfig(name=name, model_type=model_type, **fields)
    check_shape(model, where)
    return model


def _mamba(raw: Raw, where: str, name: str) -> ModelConfig:
    """Return a Mamba model: no heads, no bound on positions, channels in place of a feed-forward."""
    hidden = _integer(raw, "hidden_size", where, MAX_WIDTH)
    expanded = _integer(raw, "expand", where, MAX_HEADS, default=2) * hidden
    rank = -(-hidden // 16)
    if raw.get("time_step_rank", "auto") != "auto":
        rank = _integer(raw, "time_step_rank", where, MAX_WIDTH)
    zeros: tuple[str, ...] = (
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "num_experts",
        "num_experts_per_tok",
    )
    zeros += ("moe_intermediate_size", "sliding_window", "token_types", "learned_positions")
    model = ModelConfig(
        name=name,
        model_type="mamba",
        hidden_size=hidden,
        num_hidden_layers=_integer(raw, "num_hidden_layers", where, MAX_LAYERS),
        intermediate_size=_integer(raw, "intermediate_size", where, MAX_WIDTH, default=expanded),
        vocab_size=_integer(raw, "vocab_size", where, MAX_VOCAB),
        max_position_embeddings=MAX_POSITIONS,
        hidden_act=_hidden_act(raw, where, "mamba"),
        tie_word_embeddings=_flag(raw, "tie_word_embeddings", where, default=True),
        qkv_bias=False,
        output_bias=False,
        mlp_bias=_flag(raw, "use_bias", where, default=False),
        qk_norm=False,
        torch_dtype=_torch_dtype(raw, where),
        headless=raw.get("architectures") == [_bare(_ARCHITECTURES["mamba"])],
        state_size=_integer(raw, "state_size", where, MAX_WIDTH, default=16),
        conv_kernel=_integer(raw, "conv_kernel", where, MAX_WIDTH, default=4),
        conv_bias=_flag(raw, "use_conv_bias", where, default=True),
        time_step_rank=rank,
        **dict.fromkeys(zeros, 0),
    )
    check_shape(model, where)
    return model


def _model_name(path: Path) -> str:
    stem = path.parent.name if path.stem == "config" and path.parent.name else path.stem
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem)[:100] or "model"


def _model_type(raw: Raw, where: str) -> str:
    if "model_type" not in raw:
        raise TraceError(where, "model_type", f"missing key, expected one of {', '.join(MODEL_TYPES)}")
    value = raw["model_type"]
    if not isinstance(value, str) or value not in _ARCHITECTURES:
        problem = f"{show(value)} is not supported, expected one of {', '.join(MODEL_TYPES)}"
        raise TraceError(where, "model_type", problem, nearest=nearest_name(value, MODEL_TYPES))
    _check_architectures(raw, where, _ARCHITECTURES[value])
    return value


def _check_architectures(raw: Raw, where: str, expected: str) -> None:
    names = raw.get("architectures")
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TraceError(where, "architectures", f"expected a list of class names, got {show(names)}")
    for name in names:
        if not name.startswith(expected) and name != _bare(expected):
            raise TraceError(where, "architectures", f"{show(name)} does not fit model_type, expected {expected}")


def _bare(architecture: str) -> str:
    """Return the class of the network without its language-model head, as embedding models use it."""
    return architecture.replace("ForCausalLM", "Model")


def _refuse_unsupported(raw: Raw, where: str) -> None:
    """Refuse the options that would change the operators in a way that no builder here knows."""
    if raw.get("is_decoder") is True and raw["model_type"] == "bert":
        raise TraceError(where, "is_decoder", "true is not supported, expected false (BERT is an encoder here)")
    if raw.get("position_embedding_type", "absolute") != "absolute":
        raise TraceError(
            where, "position_embedding_type", f"{show(raw['position_embedding_type'])}, expected 'absolute'"
        )
    if raw.get("decoder_sparse_step", 1) != 1:
        raise TraceError(where, "decoder_sparse_step", f"{show(raw['decoder_sparse_step'])}, expected 1 (all layers)")
    if raw.get("mlp_only_layers", []) not in ([], None):
        raise TraceError(where, "mlp_only_layers", f"{show(raw['mlp_only_layers'])}, expected [] (all layers are MoE)")
    for key in ("n_shared_experts", "shared_expert_intermediate_size", "kv_lora_rank"):
        if raw.get(key):
            raise TraceError(where, key, f"{show(raw[key])} is not supported, expected 0 or no such key")


def _shape(raw: Raw, where: str) -> dict[str, Any]:
    hidden_size = _integer(raw, "hidden_size", where, MAX_WIDTH)
    n_heads = _integer(raw, "num_attention_heads", where, MAX_HEADS)
    return {
        "hidden_size": hidden_size,
        "num_hidden_layers": _integer(raw, "num_hidden_layers", where, MAX_LAYERS),
        "num_attention_heads": n_heads,
        "num_key_value_heads": _integer(raw, "num_key_value_heads", where, MAX_HEADS, default=n_heads),
        "head_dim": _head_dim(raw, where, hidden_size, n_heads),
        "vocab_size": _integer(raw, "vocab_size", where, MAX_VOCAB),
        "max_position_embeddings": _integer(raw, "max_position_embeddings", where, MAX_POSITIONS),
    }


def _head_dim(raw: Raw, where: str, hidden_size: int, n_heads: int) -> int:
    if raw.get("head_dim") is not None or raw["model_type"] in ("gemma", "qwen3", "qwen3_moe"):
        return _integer(raw, "head_dim", where, MAX_WIDTH)
    if hidden_size % n_heads:
        problem = f"{hidden_size} is not a multiple of num_attention_heads {n_heads}, and head_dim is not given"
        raise TraceError(where, "hidden_size", problem)
    return hidden_size // n_heads


def _feed_forward(raw: Raw, where: str, model_type: str) -> dict[str, Any]:
    """Return the widths; an expert's width has another key in Mixtral than in Qwen."""
    if model_type == "mixtral":
        count_key, width_key = "num_local_experts", "intermediate_size"
    elif model_type == "qwen3_moe":
        count_key, width_key = "num_experts", "moe_intermediate_size"
    else:
        _refuse_experts(raw, where, model_type)
        ffn = _integer(raw, "intermediate_size", where, MAX_WIDTH)
        return {"intermediate_size": ffn, "num_experts": 0, "num_experts_per_tok": 0, "moe_intermediate_size": 0}
    n_experts = _integer(raw, count_key, where, MAX_HEADS)
    return {
        "intermediate_size": 0,
        "num_experts": n_experts,
        "num_experts_per_tok": _integer(raw, "num_experts_per_tok", where, n_experts),
        "moe_intermediate_size": _integer(raw, width_key, where, MAX_WIDTH),
    }


def _refuse_experts(raw: Raw, where: str, model_type: str) -> None:
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if raw.get(key):
            raise TraceError(where, key, f"{show(raw[key])} does not fit model_type {model_type!r}, a dense model")


def _options(raw: Raw, where: str, model_type: str) -> dict[str, Any]:
    encoder = model_type == "bert"
    attention_bias = _flag(raw, "attention_bias", where, default=False)
    mlp_bias = _flag(raw, "mlp_bias", where, default=False)
    return {
        "hidden_act": _hidden_act(raw, where, model_type),
        "tie_word_embeddings": _flag(raw, "tie_word_embeddings", where, default=encoder or model_type == "gemma"),
        "qkv_bias": encoder or model_type == "qwen2" or attention_bias,
        "output_bias": encoder or (attention_bias and model_type != "qwen2"),
        "mlp_bias": encoder or mlp_bias,
        "qk_norm": model_type in ("qwen3", "qwen3_moe"),
        "sliding_window": 0 if encoder else _sliding_window(raw, where, model_type),
        "token_types": _integer(raw, "type_vocab_size", where, MAX_VOCAB) if encoder else 0,
        "learned_positions": raw["max_position_embeddings"] if encoder else 0,
        "torch_dtype": _torch_dtype(raw, where),
        "headless": not encoder and raw.get("architectures") == [_bare(_ARCHITECTURES[model_type])],
    }


def _hidden_act(raw: Raw, where: str, model_type: str) -> str:
    key = "hidden_act"
    allowed: tuple[str, ...] = ("silu",)
    if model_type == "bert":
        allowed = ("gelu", "gelu_new", "gelu_pytorch_tanh")
    if model_type == "gemma":
        # The newer key, where it is given, overrides the older one.
        key = "hidden_activation" if raw.get("hidden_activation") is not None else key
        allowed = ("gelu_pytorch_tanh", "gelu")
    value = raw.get(key, allowed[0])
    if value not in allowed:
        raise TraceError(where, key, f"{show(value)} is not supported, expected one of {', '.join(allowed)}")
    return str(value)


def _sliding_window(raw: Raw, where: str, model_type: str) -> int:
    """Return the window in force on every layer, 0 for none; a mixture of both kinds of layer is refused."""
    qwen = model_type.startswith("qwen")
    if model_type in ("llama", "gemma") or raw.get("sliding_window") is None:
        return 0
    if qwen and not _flag(raw, "use_sliding_window", where, default=False):
        return 0
    window = _integer(raw, "sliding_window", where, MAX_POSITIONS)
    if raw.get("layer_types") is not None:
        return window if _uniform_layer_type(raw, where) == "sliding_attention" else 0
    n_full = _n_full_layers(raw, where) if qwen else 0
    return 0 if n_full else window


def _n_full_layers(raw: Raw, where: str) -> int:
    """Return how many layers, from the first, see everything: none or all; 28 is transformers' default."""
    n_layers = _integer(raw, "num_hidden_layers", where, MAX_LAYERS)
    n_full = raw.get("max_window_layers", 28)
    if type(n_full) is not int or 0 < n_full < n_layers or n_full < 0:
        problem = f"{show(n_full)} mixes full and sliding layers, expected 0 or at least {n_layers}"
        raise TraceError(where, "max_window_layers", problem)
    return n_full


def _uniform_layer_type(raw: Raw, where: str) -> str:
    kinds = raw["layer_types"]
    if not isinstance(kinds, list) or not kinds or any(kind != kinds[0] for kind in kinds):
        raise TraceError(where, "layer_types", f"{show(kinds)} kinds, expected the same kind for every layer")
    if kinds[0] not in ("full_attention", "sliding_attention"):
        raise TraceError(where, "layer_types", f"{show(kinds[0])}, expected full_attention or sliding_attention")
    return str(kinds[0])


def _torch_dtype(raw: Raw, where: str) -> str:
    key = "torch_dtype" if raw.get("torch_dtype") is not None else "dtype"
    if raw.get(key) is None:
        return "bfloat16"
    return document.text(raw, key, where, max_chars=40)


def check_shape(model: ModelConfig, where: str) -> None:
    """Raise TraceError when the numbers of the model contradict each other or add up to something absurd."""
    if model.sparse and not 1 <= model.num_experts_per_tok <= model.num_experts:
        problem = f"{model.num_experts_per_tok}, expected 1 to the {model.num_experts} experts"
        raise TraceError(where, "num_experts_per_tok", problem)
    if not model.ffn:
        raise TraceError(where, "moe_intermediate_size" if model.sparse else "intermediate_size", "expected above 0")
    _check_state(model, where)
    if not model.recurrent:
        _check_heads(model, where)
    if model.n_parameters > _BIGGEST:
        problem = f"{model.n_parameters} parameters, expected at most {_BIGGEST}"
        raise TraceError(where, "", problem)


def _check_state(model: ModelConfig, where: str) -> None:
    """Raise TraceError on a state, or none, where the type of the model says otherwise, and on heads beside a state."""
    mamba = model.model_type == "mamba"
    for key in ("state_size", "conv_kernel", "time_step_rank"):
        if bool(getattr(model, key)) != mamba:
            raise TraceError(where, key, f"expected {'above 0' if mamba else 'none'} for {model.model_type!r}")
    for key in ("num_attention_heads", "num_key_value_heads", "head_dim", "num_experts"):
        if mamba and getattr(model, key):
            raise TraceError(where, key, f"expected 0 for {model.model_type!r}, got {getattr(model, key)}")


def _check_heads(model: ModelConfig, where: str) -> None:
    if model.num_attention_heads % model.num_key_value_heads:
        problem = f"{model.num_key_value_heads} does not divide num_attention_heads {model.num_attention_heads}"
        raise TraceError(where, "num_key_value_heads", problem)
    if not model.encoder and model.head_dim % 2:
        raise TraceError(where, "head_dim", f"expected an even number for rotary embedding, got {model.head_dim}")


def _integer(raw: Raw, key: str, where: str, high: int, default: int | None = None) -> int:
    if raw.get(key) is None:
        if default is None:
            close = nearest_name(key, raw)
            raise TraceError(where, key, "missing key", nearest=None if close == key else close)
        return default
    return document.integer(raw, key, where, 1, high)


def _flag(raw: Raw, key: str, where: str, default: bool) -> bool:
    return default if raw.get(key) is None else document.boolean(raw, key, where)
