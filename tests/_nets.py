"""A small network with a dropout of its own, a batch norm and a few outputs."""

import torch
from torch import Tensor, nn

X = torch.randn(40, 4)


class Net(nn.Module):
    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.hid = nn.Linear(4, 30)
        self.norm = nn.BatchNorm1d(30)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(30, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.act(self.norm(self.hid(x)))))


def net(outputs: int = 3) -> Net:
    torch.manual_seed(0)
    return Net(outputs)
