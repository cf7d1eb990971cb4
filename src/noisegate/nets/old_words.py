"""Other systems' words for networks, each with the sentence that says what it is here.

Methods of networks and layers, and arguments of layers. Names of classes and functions
are in `core/old_words.py`, since people look for them in every room.
"""

from collections.abc import Mapping
from typing import Any, Self

from torch import nn

from noisegate.core import old_words
from noisegate.core.errors import InvalidType
from noisegate.core.old_words import OldWords

TRAINED = (
    "A network is trained by an estimator, Regressor(network).fit(X, y) or "
    "Classifier(network).fit(X, y), or by noisegate.estimators.fit."
)
_TRAINING = dict.fromkeys(("fit", "fit_generator", "itertrain", "train_on_batch"), TRAINED)
_OUTPUT = "What a network predicts is network.output(x); an estimator around it has `predict`."
OF_NETWORKS: Mapping[str, str] = {
    **_TRAINING,
    **dict.fromkeys(("predict", "predict_proba", "predict_classes"), _OUTPUT),
    "evaluate": "An estimator around the network has `score`: Regressor(network).fit(X, y).",
    "training_outputs": "`training_outputs` is network.output(x, training=True) here.",
    "get_weights": "`get_weights` is of dense layers; network.state_dict() has all weights.",
    "set_weights": "`set_weights` is of dense layers; network.load_state_dict() takes all weights.",
}
OF_LAYERS: Mapping[str, str] = {
    **_TRAINING,
    "get_output_shape_for": "`get_output_shape_for` is `get_output_shape` here.",
    "get_weights": "`get_weights` is of dense layers; layer.state_dict() has all weights.",
    "set_weights": "`set_weights` is of dense layers; layer.load_state_dict() takes all weights.",
}
_JOINED = "What comes in is joined: incoming >> layer, or join(incoming, layer)."


def _is(word: str, *here: str) -> dict[str, dict[str, str]]:
    return {word: {new: f"`{word}` is `{new}` here." for new in here}}


ARGUMENTS: OldWords = {
    **old_words.OLD_WORDS,
    **_is("output_dim", "out_features", "hidden_size", "embedding_dim"),
    **_is("num_units", "out_features", "hidden_size"),
    **_is("n_units", "out_features", "hidden_size"),
    **_is("units", "out_features", "output_dim", "hidden_size"),
    **_is("nonlinearity", "activation"),
    **_is("num_filters", "out_channels"),
    **_is("nb_filter", "out_channels"),
    **_is("filters", "out_channels"),
    **_is("filter_size", "kernel_size"),
    **_is("pool_size", "kernel_size"),
    **_is("subsample", "stride"),
    **_is("strides", "stride"),
    **_is("pad", "padding"),
    **_is("border_mode", "padding"),
    **_is("use_bias", "bias"),
    **_is("kernel_initializer", "init"),
    **_is("kernel_regularizer", "W_regularizer"),
    **_is("bias_regularizer", "b_regularizer"),
    **_is("kernel_constraint", "W_constraint"),
    **_is("bias_constraint", "b_constraint"),
    "incoming": {"name": _JOINED},  # every layer knows `name`
    "incomings": {"name": _JOINED},
}


class TrainedElsewhere(nn.Module):
    """Answers Keras' calls of `train` and `compile` on a network or a layer."""

    def train(self, mode: bool = True, *data: Any, **words: Any) -> Self:
        """Set training or evaluation mode, as torch does; refuse data to train on."""
        given = (mode, *data) if data or not isinstance(mode, bool) else ()
        if given or words:
            got = ", ".join([*(type(value).__name__ for value in given), *words])
            raise InvalidType(
                f"{type(self).__name__}.train: `mode` must be True or False; got {got}. {TRAINED}"
            )
        return super().train(mode)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the forward, as `torch.nn.Module.compile`; refuse Keras' arguments."""
        if args or kwargs.keys() & {"optimizer", "loss", "metrics"}:
            raise InvalidType(
                f"{type(self).__name__}.compile: arguments are those of torch.compile, by name. "
                f"{TRAINED}"
            )
        super().compile(**kwargs)
