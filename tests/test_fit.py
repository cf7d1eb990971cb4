"""The one training loop: its order, its modes, its records, its state afterwards."""

import math
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from noisegate.estimators import Epoch, History, fit, misclassified

ROWS = 23
BATCH = 5


def data(rows: int = ROWS, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 4, generator=generator)
    return inputs, (inputs.sum(1) > 0).long()


def network(seed: int = 1) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def trained(model: nn.Module, *, rate: float = 0.1, **options) -> History:
    settings = {
        "epochs": 3,
        "batch_size": BATCH,
        "optimizer": torch.optim.SGD(model.parameters(), lr=rate),
        "order_seed": 7,
    }
    validation = data(11, seed=5)
    return fit(model, functional.cross_entropy, data(), validation, **(settings | options))


def rows_seen(model: nn.Module, order_seed: int) -> list[list[float]]:
    """Train on rows that bear their number, and return the batches in the order they came."""
    seen: list[list[float]] = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            seen.append(targets.tolist())
        return outputs.square().mean()

    rows = (data()[0], torch.arange(ROWS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    fit(
        model,
        loss,
        rows,
        rows,
        epochs=2,
        batch_size=BATCH,
        optimizer=optimizer,
        order_seed=order_seed,
    )
    return seen


def test_the_order_is_a_permutation_that_the_seed_alone_decides():
    generator = torch.Generator().manual_seed(7)
    expected = [
        rows.tolist()
        for _ in range(2)
        for rows in torch.randperm(ROWS, generator=generator).split(BATCH)
    ]
    assert rows_seen(network(), 7) == expected
    assert len(expected[-1]) == ROWS % BATCH
    # Noise that draws from torch's generator, and from nothing of it, changes no order.
    assert rows_seen(nn.Sequential(network(2), nn.Dropout(0.5)), 7) == expected
    noisy = network(3)
    ng.inject(noisy, {"0:out": 0.5}, seed=13)
    assert rows_seen(noisy, 7) == expected
    assert rows_seen(network(), 8) != expected


def test_it_equals_a_loop_written_by_hand():
    by_hand, history = network(), trained(network())
    inputs, targets = data()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(7)
    for epoch in history.epochs:
        total = 0.0
        for rows in torch.randperm(ROWS, generator=generator).split(BATCH):
            loss = functional.cross_entropy(by_hand(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        validation_inputs, validation_targets = data(11, seed=5)
        with torch.no_grad():
            loss = functional.cross_entropy(by_hand(validation_inputs), validation_targets)
        assert epoch.train_loss == pytest.approx(total / ROWS, rel=1e-12)
        assert epoch.validation_loss == pytest.approx(float(loss), rel=1e-6)


def test_torchs_generator_is_left_alone():
    before = torch.get_rng_state()
    trained(network())
    assert torch.equal(torch.get_rng_state(), before)


def test_training_and_evaluation_mode():
    modes: list[tuple[bool, bool]] = []

    class Watched(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(input)

    model = Watched(4, 2)
    trained(model, epochs=1)
    assert modes == [(True, True)] * math.ceil(ROWS / BATCH) + [(False, False)]
    assert not model.training


def test_training_loss_has_the_noise_and_validation_loss_has_none():
    model = network()
    with ng.inject(model, {"out:out": 1.0}, seed=13).off():
        model.eval()
        inputs, targets = data(11, seed=5)
        clean = functional.cross_entropy(model(inputs), targets).item()
    history = trained(model, epochs=1)
    # Everything is removed, so that training sees two equal logits and changes nothing.
    assert history.best.train_loss == pytest.approx(math.log(2))
    assert history.best.validation_loss == pytest.approx(clean)


def test_the_weights_of_the_best_epoch_are_kept():
    model = network()
    history = trained(model, rate=8.0, epochs=12)
    losses = [epoch.validation_loss for epoch in history.epochs]
    assert history.best.validation_loss == min(losses) < losses[-1]
    inputs, targets = data(11, seed=5)
    loss = functional.cross_entropy(model(inputs), targets).item()
    assert loss == pytest.approx(min(losses))


def test_the_error_and_the_report_of_each_epoch():
    seen: list[Epoch] = []
    model = network()
    history = trained(model, epochs=4, error=misclassified, on_epoch=seen.append)
    assert tuple(seen) == history.epochs
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]
    inputs, targets = data(11, seed=5)
    wrong = int((model(inputs).argmax(1) != targets).sum())
    assert history.best.validation_error == wrong / 11
    assert trained(network()).best.validation_error is None


def test_validation_in_parts_is_the_mean_over_all_rows():
    model = network()
    validation = data(2500, seed=6)
    history = fit(
        model,
        functional.cross_entropy,
        data(),
        validation,
        epochs=1,
        batch_size=BATCH,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        order_seed=7,
        error=misclassified,
    )
    outputs = model(validation[0])
    whole = functional.cross_entropy(outputs, validation[1]).item()
    wrong = misclassified(outputs, validation[1]).sum().item()
    assert history.best.validation_loss == pytest.approx(whole, rel=1e-6)
    assert history.best.validation_error == pytest.approx(wrong / 2500)


def test_the_best_epoch_is_the_first_of_the_lowest_and_never_nan():
    losses = [math.nan, 0.5, 0.3, 0.3, math.inf]
    epochs = tuple(Epoch(n, 0.0, loss, None) for n, loss in enumerate(losses, start=1))
    assert History(epochs).best.number == 3


def test_misclassified():
    outputs = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]])
    assert misclassified(outputs, torch.tensor([0, 1, 1])).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"epochs": 0}, "fit: `epochs` must be at least 1; got 0."),
        ({"batch_size": 0}, "fit: `batch_size` must be at least 1; got 0."),
    ],
)
def test_numbers_out_of_bounds(options, sentence):
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(sentence)}$"):
        trained(network(), **options)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            (torch.zeros(3, 4), torch.zeros(2)),
            "fit: `validation` must have as many targets as inputs; got 3 inputs and 2 targets.",
        ),
        (
            (torch.zeros(0, 4), torch.zeros(0)),
            "fit: `validation` must have at least one row; got none.",
        ),
    ],
)
def test_rows_that_cannot_be(rows, sentence):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(sentence)}$"):
        fit(
            model,
            functional.cross_entropy,
            data(),
            rows,
            epochs=1,
            batch_size=2,
            optimizer=optimizer,
            order_seed=0,
        )


def test_a_loss_that_is_never_finite():
    sentence = (
        "fit: the validation loss must be finite in some epoch; in all 2 it was not, and ended "
        "at nan. Lower the learning rate, or look for NaN in the data."
    )
    model = network()
    with torch.no_grad():
        model[0].bias.fill_(math.nan)
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(sentence)}$"):
        trained(model, epochs=2)
