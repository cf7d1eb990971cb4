"""Models whose dropout is inside a function of torch's: attention, and recurrent layers."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SAMPLES, TIME, WIDTH = 4, 6, 8
P = 0.3


def make_input(samples: int = SAMPLES) -> Tensor:
    """Return (samples, time, width)."""
    return torch.randn(samples, TIME, WIDTH, generator=torch.Generator().manual_seed(5))


def find_lengths(x: Tensor) -> list[int]:
    """Return a length for each sample, which depends on the sample alone."""
    return [1 + int(sample[0, 0].abs() * 100) % TIME for sample in x]


class Attention(nn.Module):
    """Self-attention by torch's module."""

    def __init__(self, weights: bool, **words: Any) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(WIDTH, 2, P, batch_first=True, **words)
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mha(x, x, x, need_weights=self.weights)[0]
        return y


class AttentionFunction(nn.Module):
    """Self-attention by torch's function, with the weights of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.held = nn.ModuleList([nn.MultiheadAttention(WIDTH, 2)])

    def forward(self, x: Tensor) -> Tensor:
        of = self.held[0]
        given = (of.in_proj_weight, of.in_proj_bias, None, None, False, P)
        out = (of.out_proj.weight, of.out_proj.bias)
        x = x.transpose(0, 1)
        y = F.multi_head_attention_forward(x, x, x, WIDTH, 2, *given, *out, self.training)[0]
        return y.transpose(0, 1)


class Decoder(nn.Module):
    """A decoder's layer that attends to its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(WIDTH, 2, 16, P, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x, x.flip(1))
        return y


class Transformer(nn.Module):
    """torch's whole transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Transformer(WIDTH, 2, 1, 1, 16, P, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        y: Tensor = self.net(x, x.flip(1), tgt_mask=mask, tgt_is_causal=True)
        return y


class Recurrent(nn.Module):
    """A recurrent module of torch's on padded or packed sequences."""

    def __init__(
        self, kind: type[nn.RNNBase], packed: bool = False, first: bool = True, **words: Any
    ) -> None:
        super().__init__()
        self.rnn = kind(WIDTH, 5, 3, batch_first=first, dropout=P, **words)
        self.packed, self.first = packed, first

    def forward(self, x: Tensor) -> Tensor:
        if self.packed:
            packed = pack_padded_sequence(x, find_lengths(x), self.first, enforce_sorted=False)
            return pad_packed_sequence(self.rnn(packed)[0], self.first, total_length=TIME)[0]
        y: Tensor = self.rnn(x if self.first else x.transpose(0, 1))[0]
        return y if self.first else y.transpose(0, 1)


class RecurrentFunction(nn.Module):
    """A recurrent net by torch's function, with the weights of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.GRU(WIDTH, WIDTH, 2).parameters())

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros(2, len(x), WIDTH)
        flags = True, 2, P, self.training, False, True
        y: Tensor = torch.gru(x, hidden, list(self.weights), *flags)[0]
        return y


def _make_encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 16, P, batch_first=True), 2)


ATTENTION: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "attention": (lambda: Attention(True), ("mha:probs",)),
    "fused attention": (lambda: Attention(False), ("mha:probs",)),
    "other widths": (lambda: Attention(True, kdim=WIDTH, vdim=WIDTH, bias=False), ("mha:probs",)),
    "attention's function": (AttentionFunction, (":probs",)),
    "encoder": (_make_encoder, ("layers.0.self_attn:probs", "layers.1.self_attn:probs")),
    "decoder": (Decoder, ("layer.self_attn:probs", "layer.multihead_attn:probs")),
    "transformer": (
        Transformer,
        (
            "net.encoder.layers.0.self_attn:probs",
            "net.decoder.layers.0.self_attn:probs",
            "net.decoder.layers.0.multihead_attn:probs",
        ),
    ),
}
_BETWEEN = ("rnn:dropout", "rnn:dropout.1")
RECURRENT: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "LSTM": (lambda: Recurrent(nn.LSTM), _BETWEEN),
    "LSTM, time first": (lambda: Recurrent(nn.LSTM, first=False), _BETWEEN),
    "LSTM, projected": (lambda: Recurrent(nn.LSTM, proj_size=3, bidirectional=True), _BETWEEN),
    "LSTM, packed": (lambda: Recurrent(nn.LSTM, packed=True), _BETWEEN),
    "GRU, both ways": (lambda: Recurrent(nn.GRU, bidirectional=True), _BETWEEN),
    "GRU, packed": (lambda: Recurrent(nn.GRU, packed=True, bidirectional=True), _BETWEEN),
    "RNN": (lambda: Recurrent(nn.RNN, bias=False), _BETWEEN),
    "RNN of ReLU": (lambda: Recurrent(nn.RNN, nonlinearity="relu"), _BETWEEN),
    "a recurrent function": (RecurrentFunction, (":dropout",)),
}
INSIDE = ATTENTION | RECURRENT


def make_model(name: str) -> nn.Module:
    """Return a model in training, the same for the same name."""
    torch.manual_seed(0)
    return INSIDE[name][0]().train()
