"""One run is (model, recipe, seed): trained on its training rows, judged on its validation rows."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import noisegate as ng
from noisegate.estimators import Epoch, History, fit
from noisegate.torch.generators import keep_states, seed_all

from ..data.dataset import Dataset
from ..data.encode import Encoder
from ..data.split import derived_seed, split_rows
from ..data.tasks import Task
from ..models import Model
from ..recipes import Recipe

OPTIMIZER = "Adam"
# A tenth of the training rows, within these: ten steps an epoch are enough to follow a curve.
BATCHES, SMALLEST, LARGEST = 10, 16, 128
# So many rows show what a model does before it is trained.
FEW = 8


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What all runs of a study share: the rows to learn from, and how. No test row is among them.

    `batch_size` None is a tenth of the training rows, at least 16 and at most 128.
    """

    data: Dataset
    epochs: int
    batch_size: int | None
    learning_rate: float
    validation_share: float


@dataclass(frozen=True, slots=True)
class Job:
    """What to train."""

    model: Model
    recipe: Recipe
    seed: int

    def __str__(self) -> str:
        return f"{self.model.name} {self.recipe.name} seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a job, in the target's unit.

    `split`, `initial_weights` and `initial_outputs` are digests: equal for every recipe of a model
    and seed. The last is of a few rows in evaluation, and so of what the model does with weights.
    `matched` is the report of the injection; `seconds` is the time that the run took.
    """

    model: str
    recipe: str
    seed: int
    history: History
    split: str
    initial_weights: str
    initial_outputs: str
    matched: str
    train_rows: int
    validation_rows: int
    batch_size: int
    seconds: float

    def count_steps(self, epochs: int) -> int:
        """Return how many training steps some epochs have."""
        return math.ceil(self.train_rows / self.batch_size) * epochs


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The rows of one seed: what trains, what validates, and the encoder made of the first."""

    encoder: Encoder
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A run and the weights of its best epoch."""

    run: Run
    weights: Mapping[str, Any]


def make_parts(setup: Setup, seed: int) -> Parts:
    """Return the split of a seed: the same for every model and recipe."""
    data = setup.data
    train, validation = _split(setup, seed)
    encoder = Encoder.fit(data, train)
    rows = np.concatenate([train, [-1], validation]).astype("<i8")
    digest = blake2b(rows.tobytes(), digest_size=8).hexdigest()
    parts = map(data.take, (train, validation))
    learned, judged = ((encoder.inputs(part), encoder.targets(part)) for part in parts)
    return Parts(encoder, learned, judged, digest)


def fit_encoder(setup: Setup, seed: int) -> Encoder:
    """Return the encoder of a seed, without the rows encoded."""
    return Encoder.fit(setup.data, _split(setup, seed)[0])


def execute(job: Job, setup: Setup, on_epoch: Callable[[Epoch], None] | None = None) -> Trained:
    """Train one model with one recipe; seed, and nothing else, decides split, start and order."""
    began = time.perf_counter()
    # For what the model draws by itself: by dropouts of its own, say.
    with seed_generators(job.seed, "training"):
        task, parts = setup.data.task, make_parts(setup, job.seed)
        model, start = _make_model(job, setup, parts)
        rules = dict(job.recipe.rules)
        noise = ng.inject(model, rules, seed=job.seed) if rules else None
        count = len(parts.train[1])
        batch_size = setup.batch_size or _choose_batch_size(count)
        history = fit(
            model,
            task.loss,
            parts.train,
            parts.validation,
            epochs=setup.epochs,
            batch_size=batch_size,
            optimizer=torch.optim.Adam(model.parameters(), lr=setup.learning_rate),
            order_seed=derived_seed(job.seed, "order"),
            error=task.error,
            on_epoch=on_epoch,
        )
        matched = str(noise.report()) if noise is not None else "no rules"
        if noise is not None:
            noise.remove()
    run = Run(
        job.model.name,
        job.recipe.name,
        job.seed,
        task.in_units(history, parts.encoder.scale),
        parts.digest,
        *start,
        matched,
        count,
        len(parts.validation[1]),
        batch_size,
        time.perf_counter() - began,
    )
    return Trained(run, model.state_dict())


@contextmanager
def seed_generators(seed: int, purpose: str) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's generators for a block, then restore them."""
    with keep_states():
        seed_all(derived_seed(seed, purpose))
        yield


def digest_start(job: Job, setup: Setup) -> tuple[str, str]:
    """Return the digests of a run's start: of its initial weights, and of its first outputs."""
    return _make_model(job, setup, make_parts(setup, job.seed))[1]


def _make_model(job: Job, setup: Setup, parts: Parts) -> tuple[nn.Module, tuple[str, str]]:
    """Return the initial model of a run in its own modes, and the digests of its start."""
    model = _make_initial(job, parts.encoder, setup.data.task)
    weights = _digest_tensors(model.state_dict().values())
    modes = [(module, module.training) for module in model.modules()]
    with torch.no_grad(), seed_generators(job.seed, "outputs"):
        outputs = model.eval()(parts.train[0][:FEW])
    for module, training in modes:
        module.training = training
    return model, (weights, _digest_tensors([outputs]))


def restore_model(job: Job, encoder: Encoder, task: Task, weights: Mapping[str, Any]) -> nn.Module:
    """Return the model of a run as it was trained, in evaluation and without noise."""
    model = _make_initial(job, encoder, task)
    model.load_state_dict(weights)
    return model.eval()


def _choose_batch_size(rows: int) -> int:
    """Return a tenth of the rows, within bounds, that leaves no single row for the last batch.

    Batch normalisation can do nothing with it.
    """
    size = min(max(rows // BATCHES, SMALLEST), LARGEST)
    return size + (rows % size == 1)


def _split(setup: Setup, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return split_rows(setup.data, setup.validation_share, seed, "split")


def _make_initial(job: Job, encoder: Encoder, task: Task) -> nn.Module:
    with seed_generators(job.seed, "weights"):
        return job.model.make(encoder.shape, task.outputs)


def _digest_tensors(tensors: Iterable[Any]) -> str:
    digest = blake2b(digest_size=8)
    for weights in tensors:
        if isinstance(weights, Tensor):  # a module may add what it likes
            digest.update(
                weights.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
    return digest.hexdigest()
