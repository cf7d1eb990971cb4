"""Bad regularizers, noises, networks, data and options of estimators, and the sentence for each.

Files are written into the working directory.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

import noisegate as ng
from _bad_numbers import Case, Type, Value
from noisegate.estimators import Autoencoder, Classifier, Regressor
from noisegate.nets import (
    Concatenate,
    Input,
    Linear,
    Relu,
    Sigmoid,
    join,
    outputs_matching,
    parameters_matching,
)
from noisegate.nets.regularizers import (
    BernoulliDropout,
    Contractive,
    GaussianNoise,
    HiddenL1,
    RecurrentNorm,
    RecurrentState,
    WeightL2,
)

X = np.random.default_rng(13).normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3
TWO = Y > 0
KNOWN = (
    "`input_dropout`, `hidden_dropout`, `output_dropout`, `input_noise`, `hidden_noise`, "
    "`output_noise`, `recurrent_dropout`, `weight_dropout`, `weight_noise`, "
    "`rules`, `regularizers`"
)
PARAMETERS = (
    "`network`, `activation`, `loss`, `optimizer`, `lr`, `batch_size`, `max_epochs`, "
    "`input_dropout`, `hidden_dropout`, `output_dropout`, `input_noise`, `hidden_noise`, "
    "`output_noise`, `recurrent_dropout`, `weight_dropout`, `weight_noise`, "
    "`rules`, `regularizers`, `validation_split`, `early_stopping`, `checkpoint`, "
    "`resume`, `callbacks`, `random_state`, `device`, `verbose`"
)
DROPOUT = "`dropout` is `rules={pattern: p}` here, or `hidden_dropout=p` for all hidden outputs."
SIZES = (
    "`network` must be a module, or at least two sizes: whole numbers of at least 1, the first and "
    "the last None to be taken from the data; got "
)
ENDS = "A classifier ends in as many as there are classes, or for two classes in one."


def classifier(network: Any = (None, 5, None), **words: Any) -> Classifier:
    return Classifier(network, **{"max_epochs": 1, "random_state": 13} | words)


def regressor(network: Any = (None, 5, None), **words: Any) -> Regressor:
    return Regressor(network, **{"max_epochs": 1, "random_state": 13} | words)


def autoencoder(network: Any = (None, 5, None)) -> Autoencoder:
    return Autoencoder(network, max_epochs=1, random_state=13).fit(X)


def fit(**words: Any) -> Any:
    return regressor().fit(X, X, **words)


def resumed(**noise: Any) -> Any:
    """Go on from a file of another training."""
    regressor(checkpoint="state.pt").fit(X, X)
    return regressor(checkpoint="state.pt", resume=True, max_epochs=2).fit(X, X, **noise)


CASES: list[Case] = [
    # Regularizers
    (
        lambda: RecurrentNorm(weight=0.1),
        Type,
        "RecurrentNorm: `pattern` must be text, or several; got None. "
        "Write for example 'hid1:out'.",
    ),
    (
        lambda: BernoulliDropout(0.5),  # type: ignore[arg-type]
        Type,
        "BernoulliDropout: `pattern` must be text, or several; got 0.5. "
        "Write for example 'hid1:out'.",
    ),
    (
        lambda: WeightL2([]),
        Type,
        "WeightL2: `pattern` must be text, or several; got []. Write for example 'hid1:out'.",
    ),
    (
        lambda: BernoulliDropout("in:out", 1.5),
        Value,
        "BernoulliDropout: `weight` must be in [0, 1]; got 1.5. Did you mean 0.15?",
    ),
    (
        lambda: GaussianNoise("in:out", -0.1),
        Value,
        "GaussianNoise: `weight` must be a finite number >= 0; got -0.1. Did you mean 0.1?",
    ),
    (
        lambda: BernoulliDropout("in:out", 0.5, rng=-1),
        Value,
        "BernoulliDropout: `rng` must be in [0, 2**64); got -1.",
    ),
    (
        lambda: fit(regularizers=[HiddenL1("hid9:out", 0.1)]),
        Value,
        "HiddenL1: 'hid9:out' names no output of this forward. Write for example 'hid1:out'.",
    ),
    (
        lambda: fit(regularizers=[Contractive("hid1:out", 0.1, wrt="a:out")]),
        Value,
        "Contractive (wrt): 'a:out' names no output of this forward. Write for example 'hid1:out'.",
    ),
    (
        lambda: RecurrentState("a:out").loss([], {"a:out": torch.ones(2, 3)}),
        Value,
        "RecurrentState: outputs must be (N, time, features); got the shape (2, 3).",
    ),
    (
        lambda: fit(regularizers=0.5),
        Type,
        "Regressor.fit: `regularizers` must be a list of regularizers, or a dict of name to "
        "weight; got 0.5. Write for example {'weight_l2': 0.01}.",
    ),
    (
        lambda: fit(regularizers=[0.5]),
        Type,
        "Regressor.fit: `regularizers` must be a list of regularizers, or a dict of name to "
        "weight; got 0.5. Write for example {'weight_l2': 0.01}.",
    ),
    (
        lambda: fit(regularizers={"weight_l3": 0.1}),
        Value,
        "Regressor.fit: unknown regularizer `weight_l3`. Did you mean `weight_l2`?",
    ),
    (
        lambda: fit(regularizers={"hidden_dropouts": 0.1}),
        Value,
        "Regressor.fit: unknown regularizer `hidden_dropouts`. Did you mean `hidden_dropout`?",
    ),
    # Noise
    (
        lambda: fit(rules=0.5),
        Type,
        "Regressor.fit: `rules` must be a dict of pattern to noise; got 0.5. For one number at all "
        "hidden outputs write hidden_dropout=0.5.",
    ),
    (
        lambda: regressor().fit(X, X).predict(X, rules=[0.1]),
        Type,
        "Regressor.predict: `rules` must be a dict of pattern to noise; got [0.1]. For one number "
        "at all hidden outputs write hidden_dropout=[0.1].",
    ),
    (
        lambda: fit(dropout={"hid1:out": 0.5}),
        Type,
        f"Regressor.fit: unknown keyword `dropout`; known are {KNOWN}. {DROPOUT}",
    ),
    (
        lambda: regressor().fit(X, X).predict(X, noise={"hid1:out": 0.1}),
        Type,
        f"Regressor.predict: unknown keyword `noise`; known are {KNOWN}. `noise` is `rules` here: "
        "{'hid1:out': noisegate.GaussianNoise(0.1)}.",
    ),
    (
        lambda: classifier(dropout={"hid1:out": 0.5}),
        Type,
        f"Classifier: unknown keyword `dropout`; known are {PARAMETERS}, `output`, "
        f"`class_weight`. {DROPOUT}",
    ),
    (
        lambda: Autoencoder(epochs=5),  # type: ignore[call-arg]
        Type,
        f"Autoencoder: unknown keyword `epochs`; known are {PARAMETERS}, `code`. "
        "Did you mean `max_epochs`?",
    ),
    (
        lambda: fit(hidden_dropouts=0.5),
        Type,
        f"Regressor.fit: unknown keyword `hidden_dropouts`; known are {KNOWN}. "
        "Did you mean `hidden_dropout`?",
    ),
    (
        lambda: regressor().fit(X, X).feed_forward(X, input_drop=0.5),
        Type,
        f"Regressor.feed_forward: unknown keyword `input_drop`; known are {KNOWN}. "
        "Did you mean `input_dropout`?",
    ),
    (
        lambda: fit(hidden_dropout=1.5),
        Value,
        "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
    ),
    (
        lambda: fit(rules={"hid2:out": 0.5}),
        ng.UnmatchedRule,
        "inject: the rule 'hid2:out' matches no site. "
        "The nearest sites are 'hid1:out', 'in:out', ':out'.",
    ),
    (
        lambda: fit(rules={"hid1": 0.5}),
        Type,
        "inject: a pattern must be text of the form `path:port`; got 'hid1'. "
        "Write for example 'hid1:out'.",
    ),
    (
        lambda: outputs_matching(join(Input(4, name="in"), Relu(5, name="hid1")), "hid2:out"),
        ng.UnmatchedRule,
        "inject: the rule 'hid2:out' matches no site. "
        "The nearest sites are 'hid1:out', 'in:out', 'hid1:pre'.",
    ),
    (
        lambda: parameters_matching(join(Input(4), Linear(5, name="out")), "hid1.w"),
        ng.UnmatchedRule,
        "inject: the rule 'hid1.w' matches no site. The nearest sites are 'out.weight', "
        "'out.bias'.",
    ),
    (
        lambda: regressor().fit(X, X).predict(X, samples=5),
        Value,
        "Regressor.predict: `samples` and `return_std` are of noise; give some, as "
        "hidden_dropout=0.5, or a network with noise layers and existing=True.",
    ),
    (
        lambda: classifier().fit(X, Y).predict_proba(X, return_std=True),
        Value,
        "Classifier.predict_proba: `return_std` is over samples; say how many, as samples=20.",
    ),
    (
        lambda: autoencoder().transform(X, samples=5),
        Value,
        "Autoencoder.transform: `samples` and `return_std` are of noise; give some, as "
        "hidden_dropout=0.5, or a network with noise layers and existing=True.",
    ),
    # Networks
    (lambda: classifier((None, 0, None)).fit(X, Y), Value, f"{SIZES}(None, 0, None)."),
    (lambda: classifier((None, -3, None)).fit(X, Y), Value, f"{SIZES}(None, -3, None)."),
    (lambda: classifier((None, 2.5, None)).fit(X, Y), Value, f"{SIZES}(None, 2.5, None)."),
    (lambda: classifier((None, None, None)).fit(X, Y), Value, f"{SIZES}(None, None, None)."),
    (lambda: classifier((4,)).fit(X, Y), Value, f"{SIZES}(4,)."),
    (lambda: classifier(100).fit(X, Y), Type, f"{SIZES}100."),
    (lambda: classifier("net").fit(X, Y), Type, f"{SIZES}'net'."),
    (
        lambda: classifier((5, 8, None)).fit(X, Y),
        Value,
        "the network's input has size 5, and X has 4.",
    ),
    (
        lambda: regressor((None, 8, 3)).fit(X, X),
        Value,
        "the network's output has size 3, and y has 4.",
    ),
    (
        lambda: classifier(join(Input(4), Linear(2))).fit(X, Y),
        Value,
        "the network's output has size 2, and y has 3 classes.",
    ),
    (
        lambda: regressor(join(Input(4) | Input(4), Concatenate(), Linear(1))).fit(X, X),
        Value,
        "an estimator's network must take one input; this one takes `input-1`, `input-2`.",
    ),
    (
        lambda: classifier(activation="rleu").fit(X, Y),
        Value,
        "Dense: `activation` must be a callable, or one of `softmax`, `softplus`, `softsign`, "
        "`relu`, `tanh`, `sigmoid`, `hard_sigmoid`, `linear`; got 'rleu'. Did you mean `relu`?",
    ),
    (
        lambda: classifier(nn.Linear(4, 2)).fit(X, Y),
        Value,
        f"the network gives 2 outputs for 3 classes. {ENDS}",
    ),
    (
        lambda: classifier(join(Input(4), Sigmoid(3))).fit(X, Y),
        Value,
        f"the network gives 3 outputs of a Sigmoid for 3 classes. {ENDS}",
    ),
    (
        lambda: classifier(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))).fit(X, TWO),
        Value,
        "a classifier's network must give (N, classes); got (12,).",
    ),
    (
        lambda: regressor(nn.Linear(4, 2)).fit(X, X),
        Value,
        "the network gives outputs of shape (12, 2) for targets of shape (12, 4).",
    ),
    (
        lambda: autoencoder(nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 4))).transform(X),
        Value,
        "Autoencoder: `code` is needed for this network. Give one of `0:out`, `1:out`, `in:out`, "
        "`out:out`.",
    ),
    # Classes
    (
        lambda: classifier().fit(X, Y * 0),
        Value,
        "Classifier: y must have at least two classes; got one class, 0.",
    ),
    (
        lambda: classifier().fit(X, np.array(["a"] * 12)),
        Value,
        "Classifier: y must have at least two classes; got one class, 'a'.",
    ),
    (
        lambda: classifier().fit(X, Y).partial_fit(X, Y + 1),
        Value,
        "Classifier: y has [3], which are none of the classes of before, [0, 1, 2].",
    ),
    # Options
    (
        lambda: classifier(batch_size=0).fit(X, Y),
        Value,
        "Classifier: `batch_size` must be a whole number of at least 1; got 0.",
    ),
    (
        lambda: regressor(max_epochs=1.5).fit(X, X),
        Value,
        "Regressor: `max_epochs` must be a whole number of at least 1; got 1.5.",
    ),
    (
        lambda: regressor(early_stopping=0).fit(X, X),
        Value,
        "Regressor: `early_stopping` must be a whole number of at least 1; got 0.",
    ),
    (
        lambda: regressor(early_stopping=3).fit(X, X),
        Value,
        "Regressor: `early_stopping` must be None without validation: give `validation_data` or "
        "`validation_split`; got 3.",
    ),
    (
        lambda: regressor(validation_split=1.0).fit(X, X),
        Value,
        "Regressor: `validation_split` must be None or between 0 and 1; got 1.0.",
    ),
    (
        lambda: regressor(validation_split=0.01).fit(X, X),
        Value,
        "Regressor: `validation_split` must be such that some of 12 rows are on each side; "
        "got 0.01.",
    ),
    (
        lambda: regressor(resume=True).fit(X, X),
        Value,
        "Regressor: `resume` must be False without a `checkpoint`; got True.",
    ),
    (
        lambda: regressor(lr=0).fit(X, X),
        Value,
        "Regressor: `lr` must be a finite number > 0; got 0.0.",
    ),
    (
        lambda: classifier(output="logit").fit(X, Y),
        Value,
        "Classifier: `output` must be 'logits' or 'probabilities'; got 'logit'. "
        "Did you mean 'logits'?",
    ),
    # Checkpoints
    (
        lambda: resumed(hidden_dropout=0.5),
        Value,
        "resume: state.pt does not belong to this training: its noise is another.",
    ),
]
