"""Same inputs, same bytes out: whatever the seed of hashes, the folder, the number of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 512,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
PROGRAM = """
import sys
from dieshot.simulator.log.digest import digest
from dieshot.simulator.studies.run import run

config, output, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
run("dgx-h100", config, prompt=70, generate=3, tensor_parallel=2, output=output, processes=processes)
print(digest(output))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "config.json"
    file.write_text(json.dumps(MODEL))
    return file


def digest_of(config: Path, folder: Path, hash_seed: str = "0", processes: int = 1) -> str:
    """Run in a fresh interpreter that works in `folder`; return the digest of the result file."""
    command = [sys.executable, "-c", PROGRAM, str(config), "run.h5", str(processes)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def expected(config: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest_of(config, tmp_path_factory.mktemp("first"))


@pytest.mark.parametrize("hash_seed", ["1", "random"])
def test_hash_seed_and_folder_do_not_matter(config: Path, expected: str, tmp_path: Path, hash_seed: str) -> None:
    assert len(expected) == 64
    assert digest_of(config, tmp_path, hash_seed) == expected


def test_the_number_of_processes_does_not_matter(config: Path, expected: str, tmp_path: Path) -> None:
    assert digest_of(config, tmp_path, processes=2) == expected


def test_another_input_has_another_digest(config: Path, expected: str, tmp_path: Path) -> None:
    other = tmp_path / "config.json"
    other.write_text(json.dumps(MODEL | {"intermediate_size": 576}))
    assert digest_of(other, tmp_path) != expected
