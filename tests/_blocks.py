"""A network of a layer, a block and a last layer."""

import torch
from torch import Tensor, nn

X = torch.randn(5, 6)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hid = nn.Linear(6, 20)
        self.block = nn.Sequential(nn.Linear(20, 20), nn.ReLU())
        self.last = nn.Linear(20, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(self.hid(x)) + 10)


def plain() -> Net:
    torch.manual_seed(0)
    return Net()
