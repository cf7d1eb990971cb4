"""Small models of transformers' families that draw more than dropouts, built from configs."""

import os
from collections.abc import Callable
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers as hf
from torch import Tensor, nn

hf.logging.set_verbosity_error()

WORDS = {"vocab_size": 60}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
SPEECH = {
    "conv_dim": (16, 16),
    "conv_stride": (4, 4),
    "conv_kernel": (8, 8),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.4,
}
TWO = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "encoder_layerdrop": 0.4,
    "decoder_layerdrop": 0.3,
}
IDS = torch.arange(32).reshape(4, 8) * 7 % 50 + 3
IMAGES = torch.linspace(-1, 1, 4 * 3 * 32 * 32).reshape(4, 3, 32, 32)
SOUNDS = torch.linspace(-1, 1, 4 * 800).reshape(4, 800)
IMAGE = {"image_size": 32, "patch_size": 8}
ON_IDS, ON_IMAGES, ON_SOUNDS = (
    {"input_ids": IDS},
    {"pixel_values": IMAGES},
    {"input_values": SOUNDS},
)

# A model, and an input of four samples.
FAMILIES: dict[str, tuple[Callable[[], nn.Module], dict[str, Tensor]]] = {
    "Bart": (lambda: hf.BartModel(hf.BartConfig(**TWO, **WORDS)), ON_IDS),
    "Bert": (lambda: hf.BertModel(hf.BertConfig(**SMALL, **WORDS)), ON_IDS),
    "Beit": (lambda: hf.BeitModel(hf.BeitConfig(drop_path_rate=0.4, **IMAGE, **SMALL)), ON_IMAGES),
    "ConvNext": (
        lambda: hf.ConvNextModel(
            hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, drop_path_rate=0.4)
        ),
        ON_IMAGES,
    ),
    "DebertaV2": (lambda: hf.DebertaV2Model(hf.DebertaV2Config(**SMALL, **WORDS)), ON_IDS),
    "GPT2": (lambda: hf.GPT2Model(hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, **WORDS)), ON_IDS),
    "Hubert": (lambda: hf.HubertModel(hf.HubertConfig(**SPEECH, **SMALL, **WORDS)), ON_SOUNDS),
    "Swin": (
        lambda: hf.SwinModel(
            hf.SwinConfig(
                image_size=32,
                patch_size=4,
                embed_dim=16,
                depths=[2, 2],
                num_heads=[2, 2],
                window_size=4,
                drop_path_rate=0.4,
            )
        ),
        ON_IMAGES,
    ),
    "SwitchTransformers": (
        lambda: hf.SwitchTransformersModel(
            hf.SwitchTransformersConfig(
                d_model=32,
                d_kv=8,
                d_ff=40,
                num_layers=2,
                num_heads=4,
                num_experts=2,
                num_sparse_encoder_layers=1,
                router_jitter_noise=0.1,
                **WORDS,
            )
        ),
        {"input_ids": IDS, "decoder_input_ids": IDS.flip(1)},
    ),
    "ViTMAE": (lambda: hf.ViTMAEModel(hf.ViTMAEConfig(**IMAGE, **SMALL)), ON_IMAGES),
    "Wav2Vec2": (
        lambda: hf.Wav2Vec2Model(
            hf.Wav2Vec2Config(mask_time_prob=0.3, mask_time_length=2, **SPEECH, **SMALL, **WORDS)
        ),
        ON_SOUNDS,
    ),
    "Whisper": (
        lambda: hf.WhisperModel(
            hf.WhisperConfig(
                dropout=0.1,
                num_mel_bins=8,
                max_source_positions=16,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                decoder_start_token_id=1,
                **TWO,
                **WORDS,
            )
        ),
        {"input_features": SOUNDS[:, :256].reshape(4, 8, 32), "decoder_input_ids": IDS},
    ),
}


def make(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the model of a family, in training and the same for the same name, and its input."""
    torch.manual_seed(0)
    build, example = FAMILIES[name]
    return build().train(), example


def run(model: nn.Module, example: dict[str, Any]) -> list[Tensor]:
    """Return the tensors of a model's output."""
    return [value for value in model(**example).values() if isinstance(value, Tensor)]
