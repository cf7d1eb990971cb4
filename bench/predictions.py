"""Time `predict` against the two usual ways to sample a model's dropouts, with the model training.

*In one forward* repeats the batch once for each sample, so its samples depend on the batch and on
torch's generator. *A loop* has one forward for each sample. Both return mean and standard
deviation; `predict` computes five quantiles too.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from machine import facts, load
from report import parser, write
from timing import quartiles, time_in_turns
from torch import Tensor, nn

import noisegate as ng

SAMPLES = 50
PEERS = ("in one forward", "a loop")


class Recurrent(nn.Module):
    """An LSTM of two layers, and dropout by a function on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 32, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return an output for each sequence."""
        last = self.lstm(x)[0][:, -1]
        out: Tensor = self.head(nn.functional.dropout(last, 0.5, self.training))
        return out


def mlp(width: int) -> nn.Module:
    """Return a network of two hidden layers, each followed by dropout."""
    hidden = (nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 2))
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Dropout(0.5), *hidden)


def cnn() -> nn.Module:
    """Return a network of two convolutions, with dropout of channels and of a hidden layer."""
    maps = (nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.25))
    more = (nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    head = (nn.Linear(2048, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))
    return nn.Sequential(*maps, *more, *head)


def bert() -> nn.Module:
    """Return a small BERT that classifies sequences."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(vocab_size=100, intermediate_size=128, **sizes)
    return BertForSequenceClassification(config)


def vit() -> nn.Module:
    """Return a small vision transformer of 65 tokens."""
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3}
    rates = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    config = ViTConfig(image_size=32, patch_size=4, intermediate_size=768, **sizes, **rates)
    return ViTForImageClassification(config)


# For each model how it is made, its input, and the most time that `predict` may take, as a share of
# a peer's.
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], dict[str, float]]] = {
    "MLP": (lambda: mlp(128), lambda: torch.randn(16, 16), {"in one forward": 0.8}),
    "LSTM": (Recurrent, lambda: torch.randn(16, 12, 8), {"in one forward": 1.0}),
    "BERT, 12 tokens": (bert, lambda: torch.randint(100, (16, 12)), {"a loop": 0.5}),
    "BERT, 32 tokens": (bert, lambda: torch.randint(100, (16, 32)), {"a loop": 0.5}),
    "ViT": (vit, lambda: torch.randn(8, 3, 32, 32), {"a loop": 0.75}),
    "CNN": (cnn, lambda: torch.randn(16, 3, 32, 32), {}),
    "wide MLP": (lambda: mlp(512), lambda: torch.randn(1024, 16), {}),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    accepted = parser(__doc__, quick="few rounds of the first two models")
    accepted.add_argument(
        "--only", default="", metavar="NAME", help="models with this in their name"
    )
    options = accepted.parse_args(arguments)
    torch.set_num_threads(1)
    seconds, rounds = (0.02, (3, 3)) if options.quick else (12.0, (5, 200))
    found: dict[str, Any] = {"machine": facts(), "predictions": []}
    named = [name for name in MODELS if options.only in name]
    for name in named[:2] if options.quick else named:
        row = measure(name, seconds, rounds)
        found["predictions"].append(row)
        print(describe(row), flush=True)
    found["machine"]["load_after"] = load()
    write(options.json, found)
    return 0


def measure(name: str, seconds: float, rounds: tuple[int, int]) -> dict[str, Any]:
    """Return the times of `predict` and of its peers for a model, in ms, and their ratios."""
    make, make_input, goals = MODELS[name]
    torch.manual_seed(1)
    model, x = make().eval(), make_input()

    def predict() -> Any:
        return ng.predict(model, x, SAMPLES, existing=True, seed=1, unreached="keep")

    contenders = {
        "predict": predict,
        "in one forward": lambda: sample_in_one(model, x),
        "a loop": lambda: sample_in_loop(model, x),
    }
    samples = time_in_turns(contenders, seconds, rounds)
    row: dict[str, Any] = {"model": name, "rounds": len(samples["predict"])}
    row |= {f"{contender}, ms": 1e3 * quartiles(times)[1] for contender, times in samples.items()}
    for peer in PEERS:
        pairs = zip(samples["predict"], samples[peer], strict=True)
        low, _, high = quartiles([ours / theirs for ours, theirs in pairs])
        ratio = row["predict, ms"] / row[f"{peer}, ms"]
        row[peer] = {"ratio": ratio, "low": low, "high": high, "goal": goals.get(peer)}
    return row


def describe(row: dict[str, Any]) -> str:
    """Return the line of a model."""
    parts = []
    for peer in PEERS:
        ratio, goal = row[peer]["ratio"], row[peer]["goal"]
        verdict = "" if goal is None else f" (goal {goal}: {'met' if ratio <= goal else 'MISSED'})"
        quarters = f"{row[peer]['low']:.2f} to {row[peer]['high']:.2f}"
        parts.append(f"{ratio:.2f} of {peer}, {quarters}{verdict}")
    end = f"{row['rounds']} rounds"
    return f"{row['model']:<15} {row['predict, ms']:8.1f} ms: {'; '.join([*parts, end])}"


def sample_in_one(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the samples of one forward, in which the batch is repeated."""
    model.train()
    with torch.no_grad():
        output = get_tensor(model(x.repeat(SAMPLES, *[1] * (x.ndim - 1))))
    model.eval()
    samples = output.reshape(SAMPLES, len(x), *output.shape[1:])
    return samples.mean(0), samples.std(0)


def sample_in_loop(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the samples of one forward each."""
    model.train()
    with torch.no_grad():
        samples = torch.stack([get_tensor(model(x)) for _ in range(SAMPLES)])
    model.eval()
    return samples.mean(0), samples.std(0)


def get_tensor(output: Any) -> Tensor:
    """Return the tensor of a model's output, which transformers wraps."""
    tensor: Tensor = getattr(output, "logits", output)
    return tensor


if __name__ == "__main__":
    sys.exit(main())
