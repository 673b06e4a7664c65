"""The network: what of a Hugging Face `config.json` decides the operators, as plain integers."""

from dataclasses import dataclass

from dieshot.traces import count


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One Transformer, or Mamba. Field names are the keys of `config.json`; zero means "has none".

    intermediate_size: width of a dense feed-forward; 0 where every layer is a mixture of experts.
    moe_intermediate_size: width of one expert. sliding_window: keys seen by a query, in force on every layer.
    qkv_bias, output_bias, mlp_bias: biases of the three groups of projections.
    token_types: rows of BERT's token-type table; learned_positions: rows of a learned position table.
    headless: a decoder without its language-model head, which embeds a prompt and generates nothing.
    state_size: numbers of a channel's state in a Mamba block, which then stands in place of attention and feed-forward;
    its channels are intermediate_size, its biases mlp_bias and conv_bias. conv_kernel: inputs that its convolution
    sees. time_step_rank: inner width of the projection to time steps.
    """

    name: str
    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    hidden_act: str
    tie_word_embeddings: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool
    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    sliding_window: int
    token_types: int
    learned_positions: int
    torch_dtype: str
    headless: bool = False
    state_size: int = 0
    conv_kernel: int = 0
    conv_bias: bool = False
    time_step_rank: int = 0

    @property
    def encoder(self) -> bool:
        """Whether this is a BERT encoder: bidirectional, post-norm, no KV cache, no generation."""
        return self.model_type == "bert"

    @property
    def recurrent(self) -> bool:
        """Whether the layers are Mamba blocks: a state of fixed size in place of a KV cache."""
        return self.state_size > 0

    @property
    def generates(self) -> bool:
        """Whether it gives tokens, and not an embedding of its prompt."""
        return not self.encoder and not self.headless

    @property
    def scales_embedding(self) -> bool:
        """Whether the embedding is multiplied by the square root of the hidden width."""
        return self.model_type == "gemma"

    @property
    def sparse(self) -> bool:
        """Whether the feed-forward of every layer is a mixture of experts."""
        return self.num_experts > 0

    @property
    def ffn(self) -> int:
        """Width of the feed-forward, or of one expert."""
        return self.moe_intermediate_size if self.sparse else self.intermediate_size

    @property
    def n_parameters(self) -> int:
        """Number of parameters, with norms, biases and embeddings; tied weights count once."""
        return count.n_parameters(self)

    @property
    def n_active_parameters(self) -> int:
        """Number of parameters that one token passes: all but the experts that it is not routed to."""
        return count.n_active_parameters(self)

    def state_bytes_per_sequence(self, dtype: str) -> int:
        """Return the bytes of a sequence's recurrent state, over all layers, in `dtype`; 0 without Mamba blocks."""
        return count.state_bytes_per_sequence(self, dtype)

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Return the bytes that one token adds to the KV cache, over all layers, in `dtype`; 0 where it has none."""
        return count.kv_bytes_per_token(self, dtype)
