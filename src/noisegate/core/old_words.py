"""Words of other systems, each with the sentence that says what it is here."""

from collections.abc import Collection, Mapping

# Word: {the word here: the sentence}, which is said where the word here is known.
OldWords = Mapping[str, Mapping[str, str]]

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
    "seed": {"rng": "`seed` is `rng` here."},
    "input": {"x": "The input is `x` here."},
}


def pointer(word: str, known: Collection[str], old: OldWords = OLD_WORDS) -> str | None:
    """Return the sentence for an old word where its new one is known, else None."""
    return next((said for new, said in old.get(word, {}).items() if new in known), None)
