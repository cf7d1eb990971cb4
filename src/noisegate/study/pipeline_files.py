"""Files of fitted pipelines: JSON, tensors, and a preprocessor in skops' format; never code."""

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from safetensors import torch as safetensors
from sklearn.pipeline import Pipeline

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import got, list_names

from .files import write_file
from .handover import FittedModel, Maker, find_fitted, make_pipeline
from .judge.scores import SplitScore
from .models import BUILT_IN, Model
from .recipes import Recipe
from .rule_text import parse_rules, rules_text
from .versions import versions

FORMAT = 1
# Our own classes in a preprocessor, and what an imputer has; skops knows those of scikit-learn.
TRUSTED = [f"noisegate.study.data.encode.{n}" for n in ("ReadColumns", "Standardize", "ZeroUnseen")]
TRUSTED.append("numpy.dtype")
# What JSON holds as it is: all but recipe, preprocessor and weights.
_PLAIN = FittedModel.__slots__[:-3]


def write_pipelines(
    fitted: Sequence[FittedModel], scores: Sequence[SplitScore], folder: Path
) -> None:
    """Write the pipeline of each model with its chosen recipe and the first seed to a folder.

    A pipeline that cannot be written is left out, with a warning.
    """
    for score in scores:
        try:
            content = pack(find_fitted(fitted, score.model, score.recipe, 0))
        except InvalidValue as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=3)
            continue
        write_file(folder / f"pipeline-{score.model.replace(':', '-')}.noisegate", content)


def pack(fitted: FittedModel) -> bytes:
    """Return the content of a file, none of which is code.

    It raises if the network's state is not made of tensors, or its rules cannot be read back.
    """
    from skops import io as skops  # here, since it imports all of scikit-learn

    recipe, rules = fitted.recipe, rules_text(fitted.recipe.rules)
    facts = {"format": FORMAT, "versions": versions()}
    facts |= {name: getattr(fitted, name) for name in _PLAIN}
    facts["recipe"] = {"name": recipe.name, "label": recipe.label, "rules": rules}
    try:
        _read_rules(rules)  # raises where a kind is the user's own
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
    from skops import io as skops

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
