"""Bad words, devices, losses, weights, labels and codes of estimators, each with its sentence."""

from typing import Any

import numpy as np
import torch
from skorch.callbacks import InputShapeSetter
from torch import Tensor, nn

from _bad_estimators import KNOWN, PARAMETERS, TWO, X, Y, classifier, fit, regressor
from _bad_numbers import Case, Type, Value
from noisegate.estimators import Autoencoder, Classifier, Regressor
from noisegate.nets import BatchNorm, Concatenate, Input, Linear, Relu, join

ONE_HOT = np.eye(3)[Y]
CODED = Autoencoder((None, 3, 2, None), max_epochs=1, random_state=13).fit(X)
OUTPUTS = "`in:out`, `hid1:out`, `hid1:pre`, `hid2:out`, `hid2:pre`, `out:out`, `out:pre`"


def devices() -> str:
    """Return the names of this machine's devices, as a sentence has them."""
    names = ["cpu"]
    if (found := torch.accelerator.current_accelerator(check_available=True)) is not None:
        count = torch.accelerator.device_count()
        names += [found.type, *(f"{found.type}:{i}" for i in range(count))]
    return ", ".join(f"`{name}`" for name in names)


def mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().mean()


def normed(model: Any = Regressor, **words: Any) -> Any:
    network = join(Input(4), Linear(5), BatchNorm(), Relu(), Linear(4))
    return model(network, max_epochs=1, random_state=13, **words)


def passed_by() -> Any:
    network = Input(4) >> (Relu(3, name="a") | Relu(2, name="b")) >> Concatenate() >> Linear(4)
    return Autoencoder(network, max_epochs=1, code="a:out").fit(X).decode(X[:, :3])


CASES: list[Case] = [
    *(
        (
            lambda word=word: Autoencoder(**{word: 5}),
            Type,
            f"Autoencoder: unknown keyword `{word}`; known are {PARAMETERS}, `code`. {sentence}",
        )
        for word, sentence in {
            "hidden_layer_sizes": "`hidden_layer_sizes` is `network` here: (None, 100, None) has "
            "one hidden layer of 100 units.",
            "layers": "`layers` is `network` here: (None, 100, None) has one hidden layer of 100 "
            "units.",
            "solver": "`solver` is `optimizer` here, a class of torch.optim.",
            "weight_decay": "`weight_decay` is regularizers={'weight_l2': ...} here.",
            "alpha": "`alpha` is regularizers={'weight_l2': ...} here.",
            "learning_rate": "`learning_rate` is `lr` here.",
            "learning_rate_init": "`learning_rate_init` is `lr` here.",
            "seed": "`seed` is `random_state` here.",
        }.items()
    ),
    (
        lambda: fit(alpha=1e-4),
        Type,
        f"Regressor.fit: unknown keyword `alpha`; known are {KNOWN}. "
        "`alpha` is regularizers={'weight_l2': ...} here.",
    ),
    *(
        (
            lambda word=word: fit(**{word: 5}),
            Type,
            f"Regressor.fit: unknown keyword `{word}`; known are {KNOWN}. {sentence}",
        )
        for word, sentence in {
            "learning_rate": "`learning_rate` is `lr` here. Give it to the estimator, not to its "
            "methods.",
            "lr": "Give `lr` to the estimator, not to its methods.",
            "seed": "`seed` is `random_state` here. Give it to the estimator, not to its methods.",
        }.items()
    ),
    (
        lambda: regressor().fit(X, X).predict(X, random_state=1, hidden_dropout=0.5),
        Type,
        f"Regressor.predict: unknown keyword `random_state`; known are {KNOWN}. "
        "`random_state` is `seed` here.",
    ),
    *(
        (
            lambda kind=kind, optimizer=optimizer: kind(optimizer=optimizer).fit(X, Y),
            Type,
            f"{kind.__name__}: `optimizer` must be a class of torch.optim; got {optimizer!r}.{way}",
        )
        for kind, optimizer, way in (
            (Classifier, "adam", " Write torch.optim.Adam."),
            (Regressor, "rmsprop", " Write torch.optim.RMSprop."),
            (Regressor, "Adma", ""),
            (Regressor, "swa_utils", ""),
            (Regressor, "Optimizer", ""),
            (Classifier, None, ""),
        )
    ),
    *(
        (
            lambda kind=kind, loss=loss: kind(loss=loss).fit(X, Y),
            Type,
            f"{kind.__name__}: `loss` must be a function of outputs and targets, or None; got "
            f"{loss!r}.{way}",
        )
        for kind, loss, way in (
            (Classifier, "mse", ""),
            (Regressor, 0.5, ""),
            (Regressor, nn.MSELoss, " Write MSELoss()."),
        )
    ),
    (
        lambda: classifier(device="gpu").fit(X, Y),
        Value,
        f"Classifier: `device` must be 'auto' or a device of this machine, {devices()}; got 'gpu'.",
    ),
    (
        lambda: regressor(device="cuda:77").fit(X, X),
        Value,
        "Regressor: `device` must be 'auto' or a device of this machine, "
        f"{devices()}; got 'cuda:77'.",
    ),
    (
        lambda: regressor(loss=mean).fit(X, X, sample_weight=np.ones(12)),
        Value,
        "`loss` must return one number for each row where rows have weights; got their mean. "
        "Write it with reduction='none'.",
    ),
    (
        lambda: normed(batch_size=1).fit(X, X),
        Value,
        "batch normalization needs at least two rows in a batch of training; got one. "
        "Raise `batch_size`, or give more rows.",
    ),
    (
        lambda: regressor(callbacks=[InputShapeSetter()]).fit(X, X),
        Value,
        "`callbacks` must not hold InputShapeSetter: a network takes its size from X by itself. "
        "Leave it out; sizes may be None, as in (None, 100, None).",
    ),
    (
        lambda: classifier().fit(X, ONE_HOT),
        Value,
        "Classifier: y must be of shape (rows,), one label for each row; got (12, 3). A y of one "
        "column for each class is y.argmax(axis=1).",
    ),
    (
        lambda: Classifier(nn.Linear(4, 2), max_epochs=1).fit(X, ONE_HOT),
        Value,
        "the network gives outputs of shape (12, 2), classes along the last axis, for a y of "
        "shape (12, 3). A y of one column for each class is y.argmax(axis=-1).",
    ),
    (
        lambda: Classifier(nn.Linear(4, 1), max_epochs=1).fit(X, np.stack([TWO, TWO], axis=1)),
        Value,
        "the network gives outputs of shape (12, 1), classes along the last axis, for a y of "
        "shape (12, 2). A y of one column for each class is y.argmax(axis=-1).",
    ),
    (
        lambda: CODED.encode(X, "hid3"),
        Value,
        "Autoencoder.encode: `layer` must be a layer's name or number, or an output; got 'hid3'. "
        f"Known are {OUTPUTS}.",
    ),
    (
        lambda: CODED.decode(X, 4),
        Value,
        "Autoencoder.decode: `layer` must be a layer's name or number, or an output; got 4. "
        f"Known are {OUTPUTS}.",
    ),
    (
        lambda: CODED.decode(X, "hid2"),
        Value,
        "Autoencoder.decode: `code` must be of shape (12, 2), what this layer gives; got (12, 4).",
    ),
    (
        passed_by,
        Value,
        "Autoencoder.decode: the output depends on X by other ways than 'a:out', so that this "
        "code alone decides nothing. Give a layer that all ways lead through.",
    ),
    (
        lambda: regressor().fit(X, X).predict(X, return_std=True, hidden_dropout=0.5),
        Value,
        "Regressor.predict: `return_std` is over samples; say how many, as samples=20.",
    ),
    (
        lambda: CODED.transform(X, return_std=True),
        Value,
        "Autoencoder.transform: `return_std` is over samples; say how many, as samples=20.",
    ),
    (
        lambda: CODED.encode(X, "hid1", samples=3),
        Value,
        "Autoencoder.encode: `samples` and `return_std` are of noise; give some, as "
        "hidden_dropout=0.5, or a network with noise layers and existing=True.",
    ),
]
