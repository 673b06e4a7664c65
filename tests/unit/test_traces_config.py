"""Models: parameter counts against published figures, and the refusal of bad `config.json` files."""

import csv
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

from dieshot.traces import MODEL_TYPES, ModelConfig, TraceError, load_model_config

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = sorted((REPOSITORY / "configs" / "models").glob("*.json"))


def published_rows() -> list[dict[str, str]]:
    with (REPOSITORY / "tests" / "data" / "models.csv").open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def named(name: str) -> ModelConfig:
    return load_model_config(REPOSITORY / "configs" / "models" / f"{name}.json")


def digits(text: str) -> int:
    return len(text.partition(".")[2])


@pytest.mark.parametrize("row", published_rows(), ids=lambda row: row["model"])
def test_counts_agree_with_published_figures_to_every_digit(row: dict[str, str]) -> None:
    model = named(row["model"])
    total, active = row["params_total_B"], row["params_active_B"]
    assert f"{model.n_parameters / 1e9:.{digits(total)}f}" == f"{float(total):.{digits(total)}f}"
    assert f"{model.n_active_parameters / 1e9:.{digits(active)}f}" == f"{float(active):.{digits(active)}f}"
    assert model.kv_bytes_per_token("bf16") == int(float(row["kv_bytes_per_token_bf16"] or 0))


# Sizes of the published checkpoints, in parameters.
@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("llama-2-7b", 6_738_415_616),
        ("llama-2-13b", 13_015_864_320),
        ("llama-3-8b", 8_030_261_248),
        ("llama-3-70b", 70_553_706_496),
        ("mistral-7b", 7_241_732_096),
        ("mistral-7b-v0.2", 7_241_732_096),
        ("gemma-2b", 2_506_172_416),
        ("gemma-7b", 8_537_680_896),
        ("codellama-13b", 13_016_028_160),
        ("qwen2-72b", 72_706_203_648),
        ("qwen3-embedding-8b", 7_567_295_488),
        ("mixtral-8x7b", 46_702_792_704),
        ("qwen2.5-7b", 7_615_616_512),
        ("qwen3-0.6b", 596_049_920),
        ("qwen3-30b-a3b", 30_532_122_624),
        ("bert-base-uncased", 109_482_240),
    ],
)
def test_counts_agree_with_checkpoints_exactly(name: str, n_parameters: int) -> None:
    assert named(name).n_parameters == n_parameters


def test_fp8_cache_takes_half_the_bytes() -> None:
    model = named("llama-3-70b")
    assert 2 * model.kv_bytes_per_token("fp8") == model.kv_bytes_per_token("bf16") == 327_680


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_shipped_model_loads(path: Path) -> None:
    model = load_model_config(path)
    assert model.name == path.stem
    assert model.n_active_parameters <= model.n_parameters
    assert (model.n_active_parameters < model.n_parameters) == model.sparse


def test_sliding_window_is_in_force_only_where_the_config_says_so(tmp_path: Path) -> None:
    assert named("mistral-7b").sliding_window == 4096
    assert named("mistral-7b-v0.2").sliding_window == 0
    assert named("qwen2.5-7b").sliding_window == 0  # use_sliding_window is false
    windowed = {"use_sliding_window": True, "sliding_window": 512}
    assert load_changed(tmp_path, "qwen2.5-7b", windowed | {"max_window_layers": 0}).sliding_window == 512
    assert load_changed(tmp_path, "qwen2.5-7b", windowed | {"max_window_layers": 28}).sliding_window == 0
    with pytest.raises(TraceError, match="mixes full and sliding layers"):
        load_changed(tmp_path, "qwen2.5-7b", windowed | {"max_window_layers": 5})


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    model = load_changed(tmp_path, "llama-2-7b", {}, drop=("num_key_value_heads", "attention_bias", "hidden_act"))
    assert (model.num_key_value_heads, model.head_dim, model.qkv_bias, model.hidden_act) == (32, 128, False, "silu")


def test_config_json_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "config.json").write_text((REPOSITORY / "configs/models/yi-34b.json").read_text())
    assert load_model_config(str(folder / "config.json")).name == "my-model"


def load_changed(folder: Path, name: str, changes: Mapping[str, object], drop: tuple[str, ...] = ()) -> ModelConfig:
    raw = json.loads((REPOSITORY / "configs" / "models" / f"{name}.json").read_text()) | dict(changes)
    path = folder / "model.json"
    path.write_text(json.dumps({key: value for key, value in raw.items() if key not in drop}))
    return load_model_config(path)


BAD_VALUES = [
    ({"model_type": "deepseek_v3"}, "model_type: 'deepseek_v3' is not supported, expected one of bert"),
    ({"model_type": "qwen3moe"}, "did you mean 'qwen3_moe'?"),
    ({"model_type": 3}, "model_type: 3 is not supported"),
    ({"architectures": ["GPTJForCausalLM"]}, "architectures: 'GPTJForCausalLM' does not fit model_type"),
    ({"hidden_size": -1}, "hidden_size: expected an integer from 1 to 1048576, got -1"),
    ({"hidden_size": 4096.0}, "hidden_size: expected an integer from 1 to 1048576, got 4096.0"),
    ({"hidden_size": True}, "hidden_size: expected an integer from 1 to 1048576, got True"),
    ({"hidden_size": "4096"}, "hidden_size: expected an integer from 1 to 1048576, got '4096'"),
    ({"hidden_size": 10**40}, "hidden_size: expected an integer from 1 to 1048576, got 1000"),
    ({"hidden_size": 4097}, "hidden_size: 4097 is not a multiple of num_attention_heads 32"),
    ({"num_key_value_heads": 5}, "num_key_value_heads: 5 does not divide num_attention_heads 32"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers: expected an integer from 1 to 10000, got 1000000000"),
    ({"head_dim": 127}, "head_dim: expected an even number for rotary embedding, got 127"),
    ({"hidden_act": "relu"}, "hidden_act: 'relu' is not supported, expected one of silu"),
    ({"tie_word_embeddings": "no"}, "tie_word_embeddings: expected true or false, got 'no'"),
    ({"num_local_experts": 8}, "num_local_experts: 8 does not fit model_type 'llama', a dense model"),
    ({"torch_dtype": "a\nb"}, "torch_dtype: expected a string of 1 to 40 printable characters"),
    ({"vocab_size": 1 << 24, "hidden_size": 1 << 20, "num_hidden_layers": 10_000}, "expected at most 1099511627776"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_VALUES)
def test_bad_value_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(TraceError) as caught:
        load_changed(tmp_path, "llama-3-8b", changes)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "model.json")) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["model_type", "hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"])
def test_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(TraceError, match=f"model.json: {key}: missing key"):
        load_changed(tmp_path, "llama-3-8b", {}, drop=(key,))


def test_misspelt_key_is_pointed_at(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="hidden_size: missing key; did you mean 'hiden_size'"):
        load_changed(tmp_path, "llama-3-8b", {"hiden_size": 4096}, drop=("hidden_size",))


@pytest.mark.parametrize(
    ("name", "changes", "key"),
    [
        ("qwen3-30b-a3b", {"mlp_only_layers": [0]}, "mlp_only_layers"),
        ("qwen3-30b-a3b", {"decoder_sparse_step": 2}, "decoder_sparse_step"),
        ("qwen3-30b-a3b", {"num_experts_per_tok": 129}, "num_experts_per_tok"),
        ("qwen3-30b-a3b", {"head_dim": None}, "head_dim"),
        ("qwen3-8b", {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["a", "b"]}, "layer_types"),
        ("mixtral-8x7b", {"num_local_experts": 0}, "num_local_experts"),
        ("bert-base-uncased", {"is_decoder": True}, "is_decoder"),
        ("bert-base-uncased", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert-base-uncased", {"hidden_act": "silu"}, "hidden_act"),
    ],
)
def test_options_that_would_change_the_operators_are_refused(
    tmp_path: Path, name: str, changes: dict[str, object], key: str
) -> None:
    with pytest.raises(TraceError) as caught:
        load_changed(tmp_path, name, changes)
    assert caught.value.key == key


HOSTILE = {
    "empty": (b"", "is not JSON"),
    "not utf-8": (b'{"model_type": "\xff"}', "is not UTF-8"),
    "list": (b"[1]", "expected a JSON object, got a list of 1"),
    "nan": (b'{"hidden_size": NaN}', "has the number NaN"),
    "infinity": (b'{"hidden_size": -Infinity}', "has the number -Infinity"),
    "duplicate": (b'{"model_type": "llama", "model_type": "bert"}', "has the key 'model_type' twice"),
    "deep": (b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}", "nested deeper than 32 levels"),
    "long number": (b'{"hidden_size": ' + b"9" * 5000 + b"}", "absurdly large"),
    "huge": (b'{"a": "' + b"x" * (1 << 20) + b'"}', "is larger than the 1048576 bytes allowed"),
    "cut": (b'{"model_type": "lla', "is not JSON"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_file_gets_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(TraceError) as caught:
        load_model_config(path)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_brackets_inside_strings_are_not_nesting(tmp_path: Path) -> None:
    assert load_changed(tmp_path, "llama-3-8b", {"_comment": '[{"' * 100}).hidden_size == 4096


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(TraceError, match="is not a regular file"):
            load_model_config(path)
    with pytest.raises(TraceError, match="No such file"):
        load_model_config(tmp_path / "absent.json")
    with pytest.raises(TraceError, match="cannot be read"):
        load_model_config("a\0b")


def test_error_crosses_a_process_boundary() -> None:
    error = TraceError("file.json", "key", "problem", nearest="kay")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.key, again.nearest) == (str(error), "key", "kay")


def test_every_supported_type_has_a_shipped_model() -> None:
    assert {load_model_config(path).model_type for path in MODELS} == set(MODEL_TYPES)
