"""Small models of well-known families, built from configs: nothing is downloaded."""

import os
from collections.abc import Callable
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from torch import nn

transformers.logging.set_verbosity_error()

IDS = torch.arange(14).reshape(2, 7) * 3 % 50 + 3
IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
WORDS = {"vocab_size": 60}


def _config(name: str, p: float | None) -> Any:
    """Return a config; p replaces every rate of dropout, None leaves the defaults."""
    make: dict[str, Callable[[], Any]] = {
        "Bert": lambda: transformers.BertConfig(**SMALL, **WORDS),
        "GPT2": lambda: transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **WORDS),
        "Llama": lambda: transformers.LlamaConfig(num_key_value_heads=2, **SMALL, **WORDS),
        "T5": lambda: transformers.T5Config(
            d_model=32, d_kv=8, num_layers=1, num_heads=4, d_ff=40, **WORDS
        ),
        "ViT": lambda: transformers.ViTConfig(image_size=16, patch_size=4, **SMALL),
        "Albert": lambda: transformers.AlbertConfig(embedding_size=16, **SMALL, **WORDS),
        "Mamba": lambda: transformers.MambaConfig(hidden_size=32, num_hidden_layers=1, **WORDS),
        "Swin": lambda: transformers.SwinConfig(
            image_size=16,
            patch_size=2,
            embed_dim=16,
            depths=[1, 1],
            num_heads=[2, 2],
            window_size=4,
        ),
    }
    config = make[name]()
    for word in vars(config):
        rate = "drop" in word or word.endswith("pdrop")
        if p is not None and rate and isinstance(getattr(config, word), float):
            setattr(config, word, p)
    return config


FAMILIES = ("Bert", "GPT2", "Llama", "T5", "ViT", "Albert")


def example(name: str) -> dict[str, Any]:
    if name in ("ViT", "Swin"):
        return {"pixel_values": IMAGES}
    if name == "T5":
        return {"input_ids": IDS, "decoder_input_ids": IDS.flip(1)}
    return {"input_ids": IDS}


def model(name: str, p: float | None = None, attention: str | None = None) -> nn.Module:
    """Return a model in training, the same for the same name."""
    torch.manual_seed(0)
    kind = getattr(transformers, f"{name}Model")
    words = {} if attention is None else {"attn_implementation": attention}
    made: nn.Module = kind._from_config(_config(name, p), **words)
    return made.train()
