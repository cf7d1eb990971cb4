"""What a study has of a network: an example, with weights that nobody trained."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler

from noisegate.study.handover import FittedModel
from noisegate.study.models import BUILT_IN
from noisegate.study.recipes import RECIPES

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(5, 3, (60, 4)), columns=["a", "b", "c", "d"])
LABELS = np.where(TABLE["a"] > TABLE["b"], "yes", "no")


def make_fitted(**changes: Any) -> FittedModel:
    """Make what a study has of the MLP, with weights that nobody trained."""
    torch.manual_seed(3)
    classes = changes.get("classes", ("no", "yes"))
    fitted = FittedModel(
        model="mlp",
        seed=4,
        shape=(4,),
        classes=classes,
        center=0.0,
        scale=1.0,
        learning_rate=2e-3,
        batch_size=16,
        epochs=7,
        steps=28,
        recipe=RECIPES["hidden"],
        preprocessor=StandardScaler().fit(TABLE),
        weights=BUILT_IN["mlp"]((4,), len(classes) or 1).state_dict(),
    )
    return replace(fitted, **changes)


def run_network(fitted: FittedModel) -> torch.Tensor:
    """Return what the network gives for the table."""
    model = BUILT_IN["mlp"](fitted.shape, len(fitted.classes) or 1)
    model.load_state_dict(fitted.weights)
    inputs = fitted.preprocessor.transform(TABLE).astype(np.float32)
    with torch.no_grad():
        return model.eval()(torch.from_numpy(inputs))
