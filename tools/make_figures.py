"""Make the figures of docs/inject.md and docs/uncertainty.md."""

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model

import noisegate as ng

IMAGES = Path(__file__).parent.parent / "docs" / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def main() -> None:
    """Draw and write both figures."""
    draw_sites().savefig(IMAGES / "inject.png", dpi=130, metadata={"Software": None})
    draw_uncertainty().savefig(IMAGES / "uncertainty.png", dpi=130, metadata={"Software": None})


def make_figure(
    width: float, height: float, rows: int, columns: int, **words: Any
) -> tuple[Any, Any]:
    """Return a figure and its axes."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, **words)


# Noise at named places of a model --------------------------------------------------------------

RULES = {
    "wte:out": ng.GaussianNoise(0.02),
    "h.0.attn:probs": 0.3,
    "h.0.mlp.act:out": ng.dropout_channels(0.2, "channels_last"),
    "h.0:out": ng.drop_path(0.5),
}
WHAT = (
    "embedding\nGaussianNoise(0.02)",
    "attention probabilities\nDropout(0.3)",
    "activations\ndropout_channels(0.2)",
    "block's output, by samples\ndrop_path(0.5)",
)


def draw_sites() -> Figure:
    """Return a figure of the values at four sites of a GPT-2, without noise and with it."""
    torch.manual_seed(0)
    config = GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50)
    for rate in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):
        setattr(config, rate, 0.0)
    model = GPT2Model._from_config(config, attn_implementation="eager").train()
    ids = torch.randint(50, (8, 20))
    clean = record_sites(model, ids)
    with ng.inject(model, RULES, seed=13):
        noisy = record_sites(model, ids)
    made, axes = make_figure(9.6, 4.3, 2, 4)
    for column, (site, words) in enumerate(zip(RULES, WHAT, strict=True)):
        for row, values in enumerate((clean[site], noisy[site])):
            ax = axes[row, column]
            limit = np.quantile(np.abs(clean[site]), 0.97)
            ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
            ax.set(xticks=[], yticks=[])
        axes[0, column].set_title(words, fontsize=9)
        axes[1, column].set_xlabel(site, family="monospace", fontsize=9)
    axes[0, 0].set_ylabel("the model alone")
    axes[1, 0].set_ylabel("with noise")
    return made


def record_sites(model: nn.Module, ids: Tensor) -> dict[str, np.ndarray]:
    """Return the values at each of the sites, as images."""
    values: dict[str, np.ndarray] = {}
    block = model.h[0]

    def keep(site: str, pick: Any) -> Any:
        return lambda module, args, out: values.update({site: pick(out).detach().numpy()})

    hooks = [
        model.wte.register_forward_hook(keep("wte:out", lambda out: out[0])),
        block.mlp.act.register_forward_hook(keep("h.0.mlp.act:out", lambda out: out[0])),
        block.register_forward_hook(keep("h.0:out", lambda out: _tensor(out)[:, 0])),
    ]
    block.attn.attn_dropout.p = 0.0
    real = torch.matmul

    def record_matmul(a: Tensor, b: Tensor) -> Tensor:
        if a.ndim == 4 and a.shape[-1] == a.shape[-2] == ids.shape[1]:
            values["h.0.attn:probs"] = a[0, 0].detach().numpy()
        return real(a, b)

    torch.matmul = record_matmul
    try:
        model(ids)
    finally:
        torch.matmul = real
        for hook in hooks:
            hook.remove()
    return values


def _tensor(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]


# Uncertainty -----------------------------------------------------------------------------------


def draw_uncertainty() -> Figure:
    """Return a figure of a regression's bands, and of a classifier's uncertainty on new digits."""
    made, (left, middle, right) = make_figure(10.4, 3.4, 1, 3)
    draw_regression(left)
    draw_classification(middle, right)
    return made


def draw_regression(ax: Axes) -> None:
    """Draw the bands of a network that was trained on the middle of a curve."""
    torch.manual_seed(0)
    x = torch.rand(100, 1) * 4 - 2.5
    y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
    model = nn.Sequential(
        nn.Linear(1, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 1)
    )
    fit(model, x, y, nn.functional.mse_loss, 2000, {"hidden_dropout": 0.2})
    line = torch.linspace(-4, 4, 200)[:, None]
    prediction = ng.predict(model, line, 200, hidden_dropout=0.2, shared_batch=True, seed=13)
    prediction.plot(torch.sin(2 * line), data=(x, y), ax=ax)
    ax.set_ylim(-3, 2.2)
    ax.legend(frameon=False, fontsize="small", loc="lower center", ncols=2)
    ax.set_title("beyond the data, bands widen", fontsize=9)


def draw_classification(middle: Axes, right: Axes) -> None:
    """Draw the reliability of a classifier of seven digits, and its uncertainty on three others."""
    images, digits = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32)
    known = torch.tensor(digits < 7)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    known_rows = order[known[order]]
    train, test = known_rows[:80], known_rows[80:]
    y = torch.tensor(digits)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 7)
    )
    noise = {"hidden_dropout": 0.5}
    fit(model, x[train], y[train], nn.functional.cross_entropy, 300, noise)
    seen = ng.predict(model, x[test], 100, **noise, seed=13)
    seen.calibration(y[test], bins=8).plot(middle)
    unseen = ng.predict(model, x[~known], 100, **noise, seed=13)
    bins = np.linspace(0, 0.6, 25)
    for values, colour, label in (
        (seen.mutual_information, BLUE, "digits 0 to 6, held out"),
        (unseen.mutual_information, ORANGE, "7, 8, 9: never seen"),
    ):
        right.hist(values, bins, density=True, color=colour, alpha=0.6, label=label)
    right.set(xlabel="mutual information (nats)", ylabel="density", yticks=[])
    right.set_title("samples disagree about what is new", fontsize=9)
    right.legend(frameon=False, fontsize="small")


def fit(model: nn.Module, x: Tensor, y: Tensor, loss: Any, steps: int, noise: Any) -> None:
    """Train a network with noise in it, on all rows at every step."""
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    with ng.inject(model, **noise, seed=1):
        for _ in range(steps):
            adam.zero_grad()
            loss(model(x), y).backward()
            adam.step()


if __name__ == "__main__":
    main()
