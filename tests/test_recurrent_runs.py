"""Noise in recurrent nets, however a model runs: with its gradients, and leaving no trace."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits
from _recurrent import SEED, TIME, UNITS, WIDTH, has_loop

PORTS: dict[str, Any] = {
    "state": 0.4,
    "state, folded": ng.Dropout(0.4, shared_axes=(0, 1)),
    "state, each step": ng.Dropout(0.4),
    "state, added": ng.GaussianNoise(0.3),
    "state, zoneout": ng.Zoneout(0.4),
    "cell": ng.Zoneout(0.4),
    "layers": 0.4,
}


class Net(nn.Module):
    """A recurrent layer, batch first, or a cell called at each time step."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.cell = issubclass(kind, nn.RNNCellBase)
        words: Any = {} if self.cell else {"num_layers": 2, "bidirectional": True}
        self.net = kind(WIDTH, UNITS, **words).double()
        if not self.cell:
            self.net.batch_first = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.cell:
            y: Tensor = self.net(x)[0]
            return y
        state, outputs = None, []
        for step in x.unbind(1):
            state = self.net(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1)


KINDS = (nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell)
CASES = [
    (kind, port)
    for kind in KINDS
    for port in PORTS
    if (port != "cell" or "LSTM" in kind.__name__)
    and (port != "layers" or "Cell" not in kind.__name__)
]
every_case = pytest.mark.parametrize(
    ("kind", "port"), CASES, ids=[f"{k.__name__}, {p}" for k, p in CASES]
)


def make_input() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, TIME, WIDTH, dtype=torch.float64, generator=generator)
    return x.requires_grad_()


def put_in(model: nn.Module, port: str) -> Any:
    return ng.inject(model, {f"net:{port.partition(',')[0]}": PORTS[port]}, seed=SEED)


def run_compiled(model: nn.Module, x: Tensor) -> Tensor:
    return torch.compile(model, backend="eager")(x)


def run_checkpointed(model: nn.Module, x: Tensor) -> Tensor:
    return checkpoint(model, x, use_reentrant=False)


def run_functionally(model: nn.Module, x: Tensor) -> Tensor:
    return functional_call(model, {n: p * 1 for n, p in model.named_parameters()}, (x,))


def run_copied(model: nn.Module, x: Tensor) -> Tensor:
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        ours.register_hook(lambda grad, raw=theirs: setattr(raw, "grad", grad))
    return twin(x)


RUNS: tuple[Callable[..., Tensor], ...]
RUNS = (run_compiled, run_checkpointed, run_functionally, run_copied)


@every_case
def test_every_way_to_run_has_the_noise_of_the_step(kind: Any, port: str) -> None:
    """And the gradients, and the plain model's state and results after the noise."""
    model, x = Net(kind), make_input()
    plain, before = model(x), copy.deepcopy(model.state_dict())
    noise = put_in(model, port)
    y = model(x)
    expected = torch.autograd.grad(y.square().sum(), [x, *model.parameters()])
    assert not torch.equal(y, plain)
    for run in RUNS:
        noise.step = 0
        x.grad = None
        model.zero_grad()
        if run is run_compiled:
            torch._dynamo.reset()
        seen = run(model, x)
        seen.square().sum().backward()
        assert_same_bits(seen, y)
        found = [x.grad, *(p.grad for p in model.parameters())]
        for actual, gradient in zip(found, expected, strict=True):
            torch.testing.assert_close(actual, gradient)
    assert list(model.state_dict()) == list(before)
    if not isinstance(PORTS[port], ng.Zoneout):
        assert_same_bits(model.eval()(x), plain)
    noise.remove()
    assert_same_bits(model.train()(x), plain)
    assert vars(model.net).keys() == vars(Net(kind).net).keys()
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])


@every_case
def test_gradients(kind: Any, port: str) -> None:
    model, x = Net(kind), make_input()[:2, :3].detach().requires_grad_()
    noise, names = put_in(model, port), [n for n, _ in model.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        with noise.at(0):
            y: Tensor = functional_call(model, dict(zip(names, weights, strict=True)), (x,))
        return y

    given = [p.detach().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(run, (x, *given), fast_mode=True)


@every_case
def test_parts_of_a_batch_have_the_noise_of_the_whole(kind: Any, port: str) -> None:
    """And a sample that of its id, wherever it is."""
    model, x = Net(kind), make_input()
    noise = put_in(model, port)
    y = model(x)
    with noise.at(0):
        halves = torch.cat([model(x[:2]), model(x[2:])])
    torch.testing.assert_close(halves, y)
    with noise.at(0, rows=[3, 1]):
        torch.testing.assert_close(model(x[[3, 1]]), y[[3, 1]])


@every_case
def test_predictions_are_those_of_the_training_forward(kind: Any, port: str) -> None:
    """Each sample of a prediction is a step, and parts of the data have the whole's noise."""
    model, x = Net(kind), make_input().detach()
    rules = {f"net:{port.partition(',')[0]}": PORTS[port]}
    with ng.inject(model, rules, seed=SEED) as noise:
        expected = []
        for step in range(3):
            with noise.at(step):
                expected.append(model(x))
    for size in (None, 3):
        given: Any = {"seed": SEED, "batch_size": size, "keep_samples": True}
        found = ng.predict(model.eval(), x, 3, rules=rules, **given).samples
        torch.testing.assert_close(torch.as_tensor(found), torch.stack(expected))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("packed", [False, True])
def test_under_autocast_outputs_have_the_plain_net_s_dtype(kind: Any, packed: bool) -> None:
    net = nn.Sequential(kind(WIDTH, UNITS))
    x: Any = torch.randn(TIME, 3, WIDTH)
    if packed:
        x = nn.utils.rnn.pack_padded_sequence(x, [TIME, 2, 1])
    ports = ("state", "cell") if kind is nn.LSTM else ("state",)
    for port in ports:
        for noise in (0.4, ng.Zoneout(0.4), ng.GaussianNoise(0.3)):
            handle = ng.inject(net, {f"0:{port}": noise}, seed=SEED)
            with torch.autocast("cpu", torch.bfloat16):
                y, states = net(x)
                with handle.off():
                    plain, ends = net(x)
            handle.remove()
            found = [part.dtype for part in (y[0], *states)]
            assert found == [part.dtype for part in (plain[0], *ends)]


@pytest.mark.parametrize("port", ["state", "cell"])
def test_impulse_noise_acts_on_a_state(port: str) -> None:
    net = nn.Sequential(nn.LSTM(WIDTH, UNITS))
    with ng.inject(net, {f"0:{port}": ng.ImpulseNoise(1.0, -1.0, 1.0)}, seed=SEED) as noise:
        y = net(torch.randn(TIME, 3, WIDTH))[1][1]
        assert not noise.mask(f"0:{port}").any()
        if port == "cell":
            assert (y.abs() == 1).all()


def test_a_net_s_second_call_has_noise_of_its_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.LSTM(WIDTH, WIDTH, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            first = self.net(x)[0]
            y: Tensor = self.net(first)[0]
            return y

    model, x = Twice(), torch.randn(4, TIME, WIDTH)
    with ng.inject(model, {"net:state": 0.5}, seed=SEED) as noise:
        model(x)
        first, second = (noise.mask("net:state", call=call) for call in (0, 1))
        assert has_loop(noise)
    assert (first != second).any()
