"""Other systems' methods and keywords of estimators, and what each is here."""

from collections.abc import Mapping
from typing import Any

from noisegate.core import old_words
from noisegate.core.old_words import OLD_WORDS, OldWords

_SAVED = "The network of a fit is saved: model.network_.save(path); noisegate.nets.load reads it."
OF_ESTIMATORS: Mapping[str, str] = {
    "train": "`train` is `fit` here, which begins anew; `partial_fit` goes on.",
    "itertrain": "`itertrain` is `fit` here; `partial_fit` trains for one epoch at each call.",
    "compile": "There is nothing to compile: `optimizer` and `loss` are given to the estimator.",
    "evaluate": "`evaluate` is `score` here.",
    "fit_generator": "Batches one by one are given to `partial_fit`.",
    "train_on_batch": "Batches one by one are given to `partial_fit`.",
    "predict_classes": "`predict_classes` is `predict` of a Classifier here.",
    "save": _SAVED,
    "load": _SAVED,
    "summary": "After a fit, model.network_.summary() has the table of layers.",
}

# Keywords of `fit` and `partial_fit`, then those of predictions; `rules` is known to all of them.
IN_TRAINING: OldWords = {
    **OLD_WORDS,
    **{
        word: {"rules": f"Give `{word}` to the estimator, not to its methods."}
        for word in ("batch_size", "lr", "max_epochs", "optimizer", "random_state")
    },
    **{
        word: {"rules": f"`{word}` is `{new}` here. Give it to the estimator, not to its methods."}
        for word, new in {
            "epochs": "max_epochs",
            "learning_rate": "lr",
            "learning_rate_init": "lr",
            "max_iter": "max_epochs",
            "seed": "random_state",
        }.items()
    },
}
IN_PREDICTION: OldWords = {
    **OLD_WORDS,
    "random_state": {"rules": OLD_WORDS["random_state"]["seed"]},
}


class OldMethods:
    """Answers the old methods of an estimator."""

    def __getattr__(self, name: str) -> Any:
        """Say what an old method is here, or raise AttributeError."""
        old_words.answer(type(self).__name__, name, OF_ESTIMATORS)
        return object.__getattribute__(self, name)
