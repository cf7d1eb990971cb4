"""Find transformers' families by themselves, and build each from a config that was made small."""

import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers as hf
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

hf.logging.set_verbosity_error()

# The most that a number in a config may be, by its name; the first pattern decides.
_SIZES = [
    (re.compile(pattern), size)
    for pattern, size in (
        (r"(.*vocab_size|num_embeddings)", 64),
        (r"(image_size|img_size)", 32),
        (r"patch_size", 8),
        (r".*(layers|n_layer|num_blocks)", 2),
        (r".*(head_dim|d_kv|dim_head|attention_head_size|kv_channels)", 8),
        (r".*(heads|n_head)", 4),
        (r".*(intermediate_size|ffn_dim|d_ff|n_inner|dim_feedforward|ffn_hidden_size|mlp_dim)", 40),
        (r"(dim|n_embd|d_model|d_embed|encoder_dim|projection_dim|emb_dim)", 32),
        (r".*(hidden_dim|hidden_size|embed_dim|embedding_dim|embedding_size)", 32),
        (r".*(num_experts|n_routed_experts|num_local_experts)", 4),
        (r".*experts_per_tok", 2),
        (r"(.*max_position_embeddings|n_positions|max_(source|target)_positions)", 64),
        (r".*mel_bins", 8),
    )
]
_DROPS = re.compile(r".*drop(?!out_type).*|.*jitter.*")
_MOST_PARAMETERS = 30_000_000
IDS = torch.arange(32).reshape(4, 8) * 7 % 50 + 4
# Names of the sizes of spectra.
_BINS = ("num_mel_bins", "feature_projection_input_dim", "input_feat_per_channel", "input_dim")


def find_families() -> list[str]:
    """Return the names of all families that have a model and a config."""
    return [name for name in MODEL_MAPPING_NAMES if name in CONFIG_MAPPING_NAMES]


def shrink(config: Any) -> Any:
    """Make the numbers of a config small, in the configs inside it too, and its dropouts act."""
    for name, value in list(vars(config).items()):
        if isinstance(value, hf.PreTrainedConfig):
            shrink(value)
        elif type(value) is int and name.endswith("token_id"):
            setattr(config, name, min(value, 3))
        elif type(value) is int:
            size = next((size for pattern, size in _SIZES if pattern.fullmatch(name)), value)
            setattr(config, name, min(value, size))
        elif value == 0.0 and type(value) is float and _DROPS.fullmatch(name):
            setattr(config, name, 0.1)
        elif name == "image_size" and isinstance(value, list | tuple):
            config.image_size = [32] * len(value)
        elif name == "num_heads" and isinstance(value, list):
            setattr(config, name, [2] * len(value))
        elif name == "rope_parameters" and isinstance(value, dict) and "rope_theta" in value:
            value["mrope_section"] = [2, 1, 1]  # half of a head of 8
    config.use_cache = False
    return config


def build(name: str) -> nn.Module:
    """Return a small model of a family, in training; raise where none can be built this way."""
    config = shrink(getattr(hf, CONFIG_MAPPING_NAMES[name])())
    model = MODEL_MAPPING_NAMES[name]
    family = getattr(hf, model if isinstance(model, str) else model[0])
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in family(config).parameters())
    if count > _MOST_PARAMETERS:
        raise ValueError(f"{name} has {count:,} parameters")
    torch.manual_seed(0)
    built = family(config).train()
    assert isinstance(built, nn.Module)
    return built


def find_example(model: nn.Module) -> dict[str, Tensor]:
    """Return the first input of four samples that a model takes; raise if it takes none."""
    errors: list[Exception] = []
    for example in _make_examples(model):
        try:
            run(model, example)
        except Exception as raised:
            errors.append(raised)
        else:
            return example
    raise errors[0] if errors else ValueError("It takes no input that is known here.")


def run(model: nn.Module, example: dict[str, Tensor]) -> list[Tensor]:
    """Return the tensors of a model's output."""
    with torch.no_grad():
        outputs = model(**example)
    values = tree_leaves(dict(outputs) if isinstance(outputs, dict) else outputs)
    return [value for value in values if isinstance(value, Tensor)]


def _make_examples(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    names = inspect.signature(model.forward).parameters
    config: Any = model.config
    vision = getattr(config, "vision_config", config)
    size, channels = getattr(vision, "image_size", 32), getattr(vision, "num_channels", 3)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    bins = next((getattr(config, name) for name in _BINS if hasattr(config, name)), 8)
    audio = getattr(config, "audio_config", config)
    bins = next((getattr(audio, name) for name in _BINS if hasattr(audio, name)), bins)
    ids = {name: IDS for name in ("input_ids", "decoder_input_ids") if name in names}
    others = [
        ("pixel_values", (channels or 3, height, width)),
        ("pixel_values", (getattr(config, "num_frames", 2), channels or 3, height, width)),
        ("pixel_values_videos", (getattr(config, "num_frames", 2), channels or 3, height, width)),
        ("input_values", (4000,)),
        ("input_values", (1, 4000)),
        ("input_features", (bins, 128)),
        ("input_features", (128, bins)),
    ]
    for name, shape in others:
        if name in names:
            example = torch.linspace(-50, 50, torch.Size((4, *shape)).numel()).sin()
            yield {**ids, name: example.reshape(4, *shape)}
    if ids:
        yield ids
    if "input_ids" in ids:
        yield {"input_ids": IDS}
