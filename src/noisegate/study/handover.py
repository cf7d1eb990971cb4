"""Trained networks of a study as fitted pipelines of scikit-learn, and files of these."""

import copy
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from safetensors import torch as safetensors
from sklearn.pipeline import Pipeline
from skops import io as skops
from torch import nn

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import got, list_names, shorten, suggest
from noisegate.estimators import Classifier, Regressor

from .data.encode import Encoder
from .models import BUILT_IN, Model
from .recipes import Recipe
from .rule_text import parse_rules, rules_text
from .train.run import Job, Run, Setup, drawing, encoder_of
from .train.store import Store
from .versions import versions

__all__ = ["FittedModel", "collect_fitted", "find_fitted", "load", "make_pipeline", "pack"]

FORMAT = 1
# Our own classes in a preprocessor; skops knows those of scikit-learn and NumPy.
TRUSTED = [f"noisegate.study.data.encode.{n}" for n in ("ReadColumns", "Standardize", "ZeroUnseen")]
# The function that makes a network for the shape of one input and a number of outputs.
Maker = Callable[[tuple[int, ...], int], nn.Module]


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A trained network of a study with its preprocessor: everything that a pipeline is made of.

    `weights` are those of the best epoch, the number of which is `epochs`, after `steps` steps.
    Targets of a regression, without `classes`, were y less `center`, divided by `scale`.
    """

    model: str
    seed: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    center: float
    scale: float
    learning_rate: float
    batch_size: int
    epochs: int
    steps: int
    recipe: Recipe
    preprocessor: Any
    weights: Mapping[str, Any]


def collect_fitted(
    model: Model, recipes: Sequence[Recipe], setup: Setup, store: Store, runs: Sequence[Run]
) -> list[FittedModel]:
    """Return what a model has become by some recipes; the preprocessors are fitted again."""
    by_name = {recipe.name: recipe for recipe in recipes}
    encoders = {run.seed: encoder_of(setup, run.seed) for run in runs}
    return [
        _make_record(Job(model, by_name[run.recipe], run.seed), setup, store, run, encoders)
        for run in runs
        if run.recipe in by_name
    ]


def _make_record(
    job: Job, setup: Setup, store: Store, run: Run, encoders: Mapping[int, Encoder]
) -> FittedModel:
    encoder, best = encoders[run.seed], run.history.best.number
    return FittedModel(
        run.model,
        run.seed,
        encoder.shape,
        setup.data.task.classes,
        encoder.center,
        encoder.scale,
        setup.learning_rate,
        run.batch_size,
        best,
        math.ceil(run.train_rows / run.batch_size) * best,
        job.recipe,
        encoder.preprocessor,
        store.weights(job),
    )


def find_fitted(fitted: Sequence[FittedModel], model: str, recipe: str, seed: int) -> FittedModel:
    """Return the one of a model, a recipe and a seed, or raise with what there is."""
    for name, value in (("model", model), ("recipe.name", recipe), ("seed", seed)):
        read = attrgetter(name)
        known = list(dict.fromkeys(map(read, fitted)))
        fitted = [each for each in fitted if read(each) == value]
        if not fitted:
            near = suggest(value, list(map(str, known)))
            raise InvalidValue(
                f"study: `{name.partition('.')[0]}` of a pipeline must be one of those with stored "
                f"weights, {list_names(known)}; {got(value)}.{near}"
            )
    return fitted[0]


def make_pipeline(fitted: FittedModel, make: Maker | None = None) -> Pipeline:
    """Return the fitted pipeline of a preprocessor and an estimator.

    To fit it again trains the run's initial network anew, with its noise, learning rate and batch
    size, for as many epochs as were best. `make` makes the network, by default the study's model.
    """
    labels = _read_labels(fitted.classes)
    with drawing(fitted.seed, "weights"):
        network = (make or Model(fitted.model).make)(fitted.shape, len(labels) or 1)
    if not isinstance(network, nn.Module):
        raise InvalidType(f"study: `model` must return an nn.Module; got {shorten(network)}.")
    trained = copy.deepcopy(network)
    try:
        trained.load_state_dict(fitted.weights)
    except RuntimeError as error:
        raise InvalidValue(
            f"study: the network that {fitted.model} makes does not take the stored weights: "
            f"{_say(error)}."
        ) from error
    words: dict[str, Any] = {
        "network": network,
        "rules": dict(fitted.recipe.rules),
        "lr": fitted.learning_rate,
        "batch_size": fitted.batch_size,
        "max_epochs": fitted.epochs,
        "random_state": fitted.seed,
    }
    if fitted.classes:
        estimator, y = Classifier(**words), labels
    else:
        moments = (fitted.center, fitted.scale)
        estimator, y = Regressor(normalize_y=moments, **words), np.zeros(2)
    estimator.adopt(trained, np.zeros((len(y), *fitted.shape)), y, steps=fitted.steps)
    # Copied, since the pipeline may be fitted again.
    steps = {"preprocessor": copy.deepcopy(fitted.preprocessor), "estimator": estimator}
    return Pipeline(list(steps.items()))


def _read_labels(classes: Sequence[str]) -> np.ndarray:
    """Return labels as pandas reads them: whole numbers and booleans are not text."""
    if tuple(classes) == ("False", "True"):
        return np.array([False, True])
    if all(re.fullmatch(r"0|-?[1-9]\d*", name) for name in classes):
        numbers = [int(name) for name in classes]
        if numbers == sorted(numbers):  # else the outputs have another order
            return np.array(numbers)
    return np.array(classes)


# What JSON holds as it is: all but recipe, preprocessor and weights.
_PLAIN = FittedModel.__slots__[:-3]

# Files -----------------------------------------------------------------------------------------


def pack(fitted: FittedModel) -> bytes:
    """Return the content of a file, none of which is code.

    Raises
    ------
    InvalidValue
        If the network's state is not made of tensors, or its rules cannot be read back.
    """
    recipe, rules = fitted.recipe, rules_text(fitted.recipe.rules)
    facts = {"format": FORMAT, "versions": versions()}
    facts |= {name: getattr(fitted, name) for name in _PLAIN}
    facts["recipe"] = {"name": recipe.name, "label": recipe.label, "rules": rules}
    try:
        if _read_rules(rules) != dict(recipe.rules):
            raise ValueError(f"its rules as text, {rules}, mean others")
        # Copied, since safetensors refuses tensors that share memory.
        weights = {name: value.detach().clone() for name, value in fitted.weights.items()}
        parts = {
            "pipeline.json": json.dumps(facts, indent=1).encode(),
            "preprocessor.skops": skops.dumps(fitted.preprocessor),
            "network.safetensors": safetensors.save(weights),
        }
    except Exception as error:
        raise InvalidValue(
            f"study: the pipeline of {fitted.model} cannot be written: {_say(error)}."
        ) from error
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(ZipInfo(name), content)
    return buffer.getvalue()


def _unpack(data: bytes) -> FittedModel:
    with ZipFile(io.BytesIO(data)) as archive:
        facts = json.loads(archive.read("pipeline.json"))
        if (version := facts.pop("format")) != FORMAT:
            raise ValueError(f"its format is {version}, and this noisegate reads format {FORMAT}")
        preprocessor = archive.read("preprocessor.skops")
        weights = safetensors.load(archive.read("network.safetensors"))
    if strange := {*skops.get_untrusted_types(data=preprocessor)} - {*TRUSTED}:
        raise ValueError(f"it holds {list_names(sorted(strange))}, which no study writes")
    rules = _read_rules(facts["recipe"].pop("rules"))
    facts["recipe"] = Recipe(**facts["recipe"], rules=rules)
    facts |= {name: tuple(facts[name]) for name in ("shape", "classes")}
    plain = {name: facts[name] for name in (*_PLAIN, "recipe")}
    return FittedModel(
        **plain, preprocessor=skops.loads(preprocessor, trusted=TRUSTED), weights=weights
    )


def _read_rules(text: str) -> dict[str, Any]:
    return parse_rules(text) if text else {}


def load(path: str | Path, *, model: str | Maker | None = None) -> Pipeline:
    """Return the fitted pipeline of a file that a study wrote; no code of the file is run.

    Parameters
    ----------
    path : path
        A file ``pipeline-MODEL.noisegate`` in a study's folder.
    model : callable or str, optional
        The function that makes the network, or its name ``module:function``; needed where it is
        your own, since it is imported and called.

    Raises
    ------
    InvalidValue, InvalidType
        If this is no such file, or it is damaged, or it needs `model`.
    """
    try:
        fitted = _unpack(Path(path).read_bytes())
    except Exception as error:
        raise InvalidValue(
            f"study: cannot load a pipeline from '{path}': {_say(error)}."
        ) from error
    if model is None and fitted.model not in BUILT_IN:
        raise InvalidValue(
            f"study: `model` must say which function makes the network of '{path}', as loading "
            f"calls it. If you trust it, write load({str(path)!r}, model={fitted.model!r})."
        )
    if isinstance(model, str):
        model = Model(model).make
    if model is not None and not callable(model):
        raise InvalidType(f"study: `model` must be a function or 'module:function'; {got(model)}.")
    return make_pipeline(fitted, model)


def _say(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error)).split())[:200].removeprefix("study: ").rstrip(".")
