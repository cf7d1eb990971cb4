"""Names from other libraries, each with the sentence that gives noisegate's name for it."""

from collections.abc import Collection, Mapping

from .errors import MissingAttribute

# {their word: {our word: the sentence}}. The sentence is used where our word is an argument.
OldWords = Mapping[str, Mapping[str, str]]

_SIZES = "`{0}` is `network` here: (None, 100, None) has one hidden layer of 100 units."
_KEPT = "`{0}` is the probability to keep, and `p` that to remove: write p = 1 - {0}."

OLD_WORDS: OldWords = {
    "proba": {"p": "NeuPy's `proba` is `p` here."},
    "keep_proba": {"p": _KEPT.format("keep_proba")},
    "keep_prob": {"p": _KEPT.format("keep_prob")},
    "rate": {"p": "Keras' `rate` is `p` here."},
    "drop_prob": {"p": "`drop_prob` is `p` here."},
    "std": {"sigma": "`std` is `sigma` here."},
    "stddev": {"sigma": "Keras' `stddev` is `sigma` here."},
    "mean": {"sigma": "The noise has mean 0, and `sigma` is its standard deviation."},
    "noise_shape": {"shared_axes": "The axes of extent 1 in `noise_shape` are `shared_axes` here."},
    "dropout_param": {
        "training": "The entries of `dropout_param` are `p`, `training` and `rng` here; its p is "
        "the probability to keep, ours that to remove."
    },
    "mode": {"training": "mode='train' is training=True here, and mode='test' training=False."},
    "deterministic": {"training": "deterministic=True is training=False here."},
    "seed": {
        "rng": "`seed` is `rng` here.",
        "random_state": "`seed` is `random_state` here.",
    },
    "random_state": {"seed": "`random_state` is `seed` here."},
    "input": {"x": "The input is `x` here."},
    "dropout": {
        "rules": "`dropout` is `rules={pattern: p}` here, or `hidden_dropout=p` for all hidden "
        "outputs."
    },
    "noise": {"rules": "`noise` is `rules` here: {'hid1:out': noisegate.GaussianNoise(0.1)}."},
    # scikit-learn
    "hidden_layer_sizes": {"network": _SIZES.format("hidden_layer_sizes")},
    "layers": {"network": _SIZES.format("layers")},
    "solver": {"optimizer": "`solver` is `optimizer` here, a class of torch.optim."},
    "learning_rate": {"lr": "`learning_rate` is `lr` here."},
    "learning_rate_init": {"lr": "`learning_rate_init` is `lr` here."},
    **{
        word: {"regularizers": f"`{word}` is regularizers={{'weight_l2': ...}} here."}
        for word in ("alpha", "weight_decay")
    },
}

# Classes and functions of other libraries, with their place in `noisegate`, for every module.
_NETS = {
    # Lasagne
    "DropoutLayer": "Dropout",
    "GaussianNoiseLayer": "GaussianNoise",
    "InputLayer": "Input",
    "DenseLayer": "Dense",
    "Conv1DLayer": "Convolution1d",
    "Conv2DLayer": "Convolution2d",
    "Conv3DLayer": "Convolution3d",
    "MaxPool1DLayer": "MaxPooling1d",
    "MaxPool2DLayer": "MaxPooling2d",
    "MaxPool3DLayer": "MaxPooling3d",
    "FlattenLayer": "Flatten",
    "ReshapeLayer": "Reshape",
    "ConcatLayer": "Concatenate",
    "ElemwiseSumLayer": "Add",
    "BatchNormLayer": "BatchNorm",
    "EmbeddingLayer": "Embedding",
    "LSTMLayer": "LSTM",
    "GRULayer": "GRU",
    # NeuPy
    "Convolution": "Convolution2d",
    "MaxPooling": "MaxPooling2d",
    "AveragePooling": "AveragePooling2d",
    "Elementwise": "Add",
    # Keras
    "BatchNormalization": "BatchNorm",
    "LeakyReLU": "LeakyRelu",
    "Model": "Network",
    **{f"{name}{d}D": f"{name}{d}d" for d in "123" for name in ("Convolution", "MaxPooling")},
    **{f"AveragePooling{d}D": f"AveragePooling{d}d" for d in "123"},
    # theanets
    "params_matching": "parameters_matching",
    # Classes and functions for which noisegate has a method or several classes.
    "Activation": "Relu() or Softmax()",
    "get_all_layers": "join(layer).layers",
    "get_all_params": "join(layer).parameters()",
    "get_all_param_values": "join(layer).state_dict()",
    "set_all_param_values": "join(layer).load_state_dict(weights)",
}
NAMES: Mapping[str, str] = {
    **{old: f"nets.{new}" for old, new in _NETS.items()},
    "Regression": "estimators.Regressor",
    "Cutout": "SpanMask",
    "TimeMasking": "SpanMask",
    "FrequencyMasking": "SpanMask",
    "NEFTune": "NeftuneNoise",
    "PoissonNoise": "ShotNoise",
    # Noisegate's own names, which people look for in other modules.
    "BernoulliDropout": "nets.regularizers.BernoulliDropout",
    "dropout": "torch.dropout",
    **{
        name: f"estimators.{name}"
        for name in (
            "Autoencoder",
            "Classifier",
            "Epoch",
            "Estimator",
            "History",
            "Regressor",
            "fit",
            "misclassified",
        )
    },
    **{name: f"numpy.{name}" for name in ("dropout_backward", "dropout_forward")},
    **{
        name: f"nets.{name}"
        for name in (
            "Input",
            "Sequential",
            "SpatialDropout1D",
            "SpatialDropout2D",
            "SpatialDropout3D",
            "TimeDistributed",
            "TimeDistributedDense",
            "join",
        )
    },
}


def find_pointer(word: str, known: Collection[str], old: OldWords = OLD_WORDS) -> str | None:
    """Return the sentence for an old word if its new word is among the known ones, else None."""
    return next((said for new, said in old.get(word, {}).items() if new in known), None)


def answer(owner: str, name: str, sentences: Mapping[str, str]) -> None:
    """Raise the sentence for an attribute if it has one."""
    if name in sentences:
        raise MissingAttribute(f"{owner} has no `{name}`. {sentences[name]}") from None


def missing_name(room: str, name: str) -> AttributeError:
    """Return the error for a name that a module lacks, with its place in noisegate if it has one.

    Parameters
    ----------
    room : str
        The full name of the module.
    """
    if name not in NAMES:
        return AttributeError(f"module {room!r} has no attribute {name!r}")
    home, _, new = NAMES[name].partition(".")
    at_home = room == f"noisegate.{home}"
    said = f"`{name}` is `{new}` here." if at_home else f"It is `noisegate.{NAMES[name]}` here."
    return MissingAttribute(f"{room} has no `{name}`. {said}")
