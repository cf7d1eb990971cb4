"""A small network on handwritten digits, for the loops of other libraries."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import noisegate as ng

RULES = {"net.1:out": 0.5, "net.0:weight": ng.GaussianNoise(0.1)}
SEED, BATCH, ACCUMULATE = 13, 8, 2
# An epoch is three steps of two micro-batches; a training is two epochs.
COUNT, STEPS = 48, 6

_x, _y = load_digits(return_X_y=True)
X = torch.tensor(_x[:COUNT] / 16, dtype=torch.float32)
Y = torch.tensor(_y[:COUNT])


class Net(nn.Module):
    """A network of two layers, whose calls in training are recorded at the noise's site."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        nn.init.ones_(self.net[0].bias)  # so that most elements are not 0 before the noise

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


class Resumable(DataLoader[tuple[Tensor, ...]]):
    """A loader that goes on where it stood, as Lightning asks of loaders."""

    done = skip = 0

    def __iter__(self):
        skip, self.skip = self.skip, 0
        for index, batch in enumerate(super().__iter__()):
            if index >= skip:
                self.done = index + 1
                yield batch

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skip = state["done"]


def make_data() -> TensorDataset:
    return TensorDataset(X, Y)


def copy_weights(model: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in model.state_dict().values()]


def assert_same_weights(model: nn.Module, weights: list[Tensor]) -> None:
    for value, expected in zip(model.state_dict().values(), weights, strict=True):
        assert torch.equal(value, expected)


def assert_clean(model: nn.Module) -> None:
    """Assert that a model has neither hooks nor methods of its own."""
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not {"forward", "training_step"} & vars(module).keys()
    assert ng.handles(model) == ()
