"""Every callback that skorch ships works in an estimator, or is refused with a sentence."""

import json
import pickle
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.metrics import accuracy_score, f1_score, make_scorer, r2_score, roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
    WandbLogger,
)

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from noisegate.estimators import Autoencoder, Classifier, Regressor

X = np.random.default_rng(13).normal(size=(70, 4)).astype(np.float32)
WORDS = np.where(X[:, 0] > 0, "yes", "no")
NUMBERS = X[:, :2] * 2
QUICK: dict[str, Any] = {"network": (None, 8, None), "max_epochs": 3, "random_state": 13}


def trained(*callbacks: Any, y: Any = WORDS, kind: Any = Classifier, **words: Any) -> Any:
    """Return an estimator after three epochs with noise and validation on 14 of 70 rows."""
    options = QUICK | {"validation_split": 0.2, "hidden_dropout": 0.3} | words
    return kind(callbacks=list(callbacks), **options).fit(X, y)


PLAIN = trained()


def scored(model: Any, name: str) -> list[float]:
    """Return a score of each epoch; the training is the one without callbacks."""
    for loss in ("train_loss", "valid_loss"):
        assert model.history_[:, loss] == PLAIN.history_[:, loss]
    return [float(score) for score in model.history_[:, name]]


# Scores ----------------------------------------------------------------------------------------


class Watching(Callback):
    """Asks the net at the end of each epoch."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_epoch_end(self, net: Any, dataset_train: Any, dataset_valid: Any, **told: Any) -> None:
        asked = net.predict(dataset_valid), net.predict_proba(dataset_valid.X)
        self.seen.append((dataset_valid, *asked))


def test_a_callback_sees_labels_and_probabilities() -> None:
    """Clean ones, and targets as the user gave them."""
    watching = Watching()
    model = trained(watching)
    rows, labels, probabilities = watching.seen[-1]
    assert len(rows) == 14
    assert set(rows.y) == {"no", "yes"}
    assert_same_bits(probabilities, model.predict_proba(rows.X))
    assert labels.tolist() == model.predict(rows.X).tolist()
    scored(model, "dur")


SCORINGS: dict[str, tuple[Any, Any]] = {
    "accuracy": ("accuracy", lambda y, p: accuracy_score(y, np.where(p > 0.5, "yes", "no"))),
    "roc_auc": ("roc_auc", lambda y, p: roc_auc_score(y == "yes", p)),
    "scorer": (
        make_scorer(f1_score, pos_label="yes"),
        lambda y, p: f1_score(y == "yes", p > 0.5),
    ),
    "callable": (
        lambda net, X, y: float((net.predict(X) == y).mean()),
        lambda y, p: ((p > 0.5) == (y == "yes")).mean(),
    ),
    "none": (None, lambda y, p: accuracy_score(y == "yes", p > 0.5)),
}


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("name", SCORINGS)
def test_epoch_scoring_of_validation(name: str, use_caching: bool) -> None:
    scoring, expected = SCORINGS[name]
    watching = Watching()
    words = {"name": "score", "lower_is_better": False, "use_caching": use_caching}
    found = scored(trained(EpochScoring(scoring, **words), watching), "score")
    assert found == pytest.approx([expected(rows.y, p[:, 1]) for rows, _, p in watching.seen])


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("name", SCORINGS)
def test_epoch_scoring_of_training(name: str, use_caching: bool) -> None:
    """With caching it is of what the steps saw, noise on; without, clean."""
    scoring, expected = SCORINGS[name]
    words = {"name": "score", "lower_is_better": False, "use_caching": use_caching}
    model = trained(EpochScoring(scoring, on_train=True, **words), validation_split=None)
    found = model.history_[-1, "score"]
    clean = expected(WORDS, model.predict_proba(X)[:, 1])
    assert 0 <= found <= 1
    assert use_caching or found == pytest.approx(clean)


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("on_train", [True, False])
def test_scores_of_values(on_train: bool, use_caching: bool) -> None:
    """Of one number, of several, and of an autoencoder."""
    words = {"name": "score", "on_train": on_train, "use_caching": use_caching}
    for kind, y in ((Regressor, NUMBERS[:, 0]), (Regressor, NUMBERS), (Autoencoder, None)):
        for scoring in ("r2", None):
            model = trained(EpochScoring(scoring, **words), kind=kind, y=y, hidden_dropout=0)
            assert len(model.history_[:, "score"]) == 3
    y, words = NUMBERS[:, 0], words | {"on_train": True, "use_caching": False}
    options = {"kind": Regressor, "y": y, "validation_split": None}
    model = trained(EpochScoring("r2", **words), **options)
    assert model.history_[-1, "score"] == pytest.approx(r2_score(y, model.predict(X)), abs=1e-5)


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("on_train", [True, False])
def test_batch_scoring(on_train: bool, use_caching: bool) -> None:
    """Asking in the midst of training leaves it in training, with its noise."""
    words = {"name": "score", "on_train": on_train, "use_caching": use_caching}
    model = trained(BatchScoring(accuracy_score, **words))
    prefix = "train" if on_train else "valid"
    for row, epoch in zip(scored(model, "score"), model.history_, strict=True):
        rows = [b for b in epoch["batches"] if "score" in b]
        assert len(rows) == epoch[f"{prefix}_batch_count"]
        sizes = [b[f"{prefix}_batch_size"] for b in rows]
        assert row == pytest.approx(np.average([b["score"] for b in rows], weights=sizes))


def test_passthrough_scoring_and_rows_of_batches() -> None:
    """A loss of batches is there for whoever asks at the end of the epoch."""
    doubled = PassthroughScoring("train_loss", on_train=True), PassthroughScoring("valid_loss")
    model = trained(*doubled, batch_size=16)
    plain = trained(batch_size=16)
    for name in ("train_loss", "valid_loss"):
        assert model.history_[:, name] == pytest.approx(plain.history_[:, name])
    sizes = [batch.get("train_batch_size") for batch in model.history_[-1, "batches"]]
    assert sizes == [16, 16, 16, 8, None]
    assert plain.history_[-1]["batches"] == []


def test_scores_of_sparse_rows() -> None:
    from scipy.sparse import csr_array

    words = {"name": "score", "lower_is_better": False, "use_caching": False}
    model = Classifier(callbacks=[EpochScoring("accuracy", on_train=True, **words)], **QUICK)
    model.fit(csr_array(X), WORDS)
    assert model.history_[-1, "score"] == model.score(X, WORDS)


# Weights and files -----------------------------------------------------------------------------


def test_checkpoint_and_load_init_state(tmp_path: Path) -> None:
    """The second training begins with what the first stored, and its epochs are counted on."""
    checkpoint = Checkpoint(dirname=str(tmp_path), f_criterion=None, f_pickle="net.pkl")
    model = trained(checkpoint)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["history.json", "net.pkl", "optimizer.pt", "params.pt"]
    best = int(np.argmin(model.history_[:, "valid_loss"]))
    assert [row["event_cp"] for row in model.history_][best]
    stored = torch.load(tmp_path / "params.pt", weights_only=True)
    assert set(stored) == set(model.network_.state_dict())
    net = pickle.loads((tmp_path / "net.pkl").read_bytes())
    assert set(net.predict(X)) <= {"no", "yes"}
    again = trained(Checkpoint(dirname=str(tmp_path)), LoadInitState(checkpoint))
    assert again.history_[:, "epoch"] == list(range(1, best + 5))
    assert again.history_[: best + 1, "train_loss"] == model.history_[: best + 1, "train_loss"]


def test_train_end_checkpoint(tmp_path: Path) -> None:
    end = TrainEndCheckpoint(dirname=str(tmp_path))
    model = trained(end)
    stored = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
    for name, value in model.network_.state_dict().items():
        assert_same_bits(stored[name], value)
    assert len(trained(LoadInitState(end), end).history_) == 6


def test_the_best_weights_come_back(tmp_path: Path) -> None:
    words = {"lr": 0.5, "max_epochs": 20}
    stopping = EarlyStopping(patience=3, load_best=True, sink=lambda text: None)
    by_stopping = trained(stopping, **words)
    by_file = trained(Checkpoint(dirname=str(tmp_path), load_best=True), **words)
    losses = by_stopping.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 20
    expected = trained(**words | {"max_epochs": best + 1})
    for name, value in expected.network_.state_dict().items():
        assert_same_bits(by_stopping.network_.state_dict()[name], value)
    lowest = int(np.argmin(by_file.history_[:, "valid_loss"]))
    expected = trained(**words | {"max_epochs": lowest + 1})
    assert_same_bits(by_file.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("at", ["on_batch_end", "on_epoch_begin", "on_epoch_end"])
def test_any_callback_stops_a_training(at: str) -> None:
    def stop(self: Any, net: Any, **told: Any) -> None:
        if len(net.history) == 2:
            raise KeyboardInterrupt

    model = trained(type("Stop", (Callback,), {at: stop})())
    assert len(model.history_) == 2
    assert not model.network_.training
    assert not ng.handles(model.network_)
    model.partial_fit(X, WORDS)
    assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4, 5]


POLICIES: dict[str, dict[str, Any]] = {
    "WarmRestartLR": {},
    "StepLR": {"step_size": 2, "gamma": 0.5},
    "CosineAnnealingLR": {"T_max": 6},
}


@pytest.mark.parametrize("policy", POLICIES)
def test_schedules_of_the_learning_rate_go_on(policy: str, tmp_path: Path) -> None:
    """In a second `partial_fit`, and where a training is resumed from a file."""

    def model(epochs: int, **words: Any) -> Classifier:
        scheduler = LRScheduler(policy, **POLICIES[policy])
        return Classifier(callbacks=[scheduler], **QUICK | {"max_epochs": epochs} | words)

    rates = model(6).fit(X, WORDS).history_[:, "event_lr"]
    assert len(set(rates)) > 2
    twice = model(3).partial_fit(X, WORDS).partial_fit(X, WORDS)
    assert twice.history_[:, "event_lr"] == pytest.approx(rates)
    words = {"checkpoint": tmp_path / "state.pt"}
    model(3, **words).fit(X, WORDS)
    resumed = model(6, resume=True, **words).fit(X, WORDS)
    assert resumed.history_[:, "event_lr"] == pytest.approx(rates)


def test_schedules_by_the_batch_and_on_a_plateau() -> None:
    halved = LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch")
    rates = [b.get("event_lr") for b in trained(halved).history_[-1, "batches"]]
    assert rates[:2] == pytest.approx([1e-3 / 2**4, 1e-3 / 2**5])
    # By this threshold no epoch is ever better.
    plateau = LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=0, threshold=10)
    assert trained(plateau).history_[:, "event_lr"] == pytest.approx([1e-3, 1e-4, 1e-5])


def weights(model: Any, name: str) -> torch.Tensor:
    return torch.as_tensor(model.network_.state_dict()[name])


def test_freezing_and_setting_parameters() -> None:
    start = weights(trained(lr=1e-30), "hid1.weight")
    frozen = trained(Freezer("hid1.*"))
    assert_same_bits(weights(frozen, "hid1.weight"), start)
    assert (weights(frozen, "out.weight") != weights(trained(lr=1e-30), "out.weight")).any()
    thawed = trained(Freezer("hid1.*"), Unfreezer("hid1.*", at=2))
    assert (weights(thawed, "hid1.weight") != start).any()
    fill = partial(torch.nn.init.constant_, val=0.5)
    for callback in (Initializer("*.weight", fn=fill), ParamMapper("*.weight", fn=fill, at=3)):
        assert (weights(trained(callback, lr=1e-30), "hid1.weight") == 0.5).all()


def test_tables_and_bars(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    trained(PrintLog(sink=lines.append))
    assert lines[0].split()[:3] == ["epoch", "train_loss", "valid_loss"]
    assert len(lines) == 5
    for count in ("auto", "count"):
        bar = ProgressBar(batches_per_epoch=count, detect_notebook=False)
        trained(bar)
        assert (bar.pbar_.total, bar.pbar_.n) == (3, 3)
    assert "0/3" in capsys.readouterr().err


# Loggers: what they are told -------------------------------------------------------------------


class Record:
    """Takes note of any call, by whatever path of attributes and entries."""

    def __init__(self, calls: list[tuple[str, tuple[Any, ...]]], path: str = "") -> None:
        self._calls, self._path = calls, path

    def __getattr__(self, name: str) -> "Record":
        if name.startswith("__"):
            raise AttributeError(name)
        return Record(self._calls, f"{self._path}.{name}")

    def __getitem__(self, name: str) -> "Record":
        return Record(self._calls, f"{self._path}[{name}]")

    def __setitem__(self, name: str, value: Any) -> None:
        self._calls.append((f"{self._path}[{name}]", (value,)))

    def __call__(self, *args: Any, **words: Any) -> None:
        self._calls.append((self._path, (*args, *words.values())))


def neptune(patch: pytest.MonkeyPatch) -> None:
    types = ModuleType("neptune.types")
    types.File = type("File", (), {"from_content": staticmethod(lambda text, **words: text)})  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "neptune", ModuleType("neptune"))
    patch.setitem(sys.modules, "neptune.types", types)


def test_loggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told the losses of each epoch; the libraries themselves are not at hand."""
    neptune(monkeypatch)
    calls: list[tuple[str, tuple[Any, ...]]] = []
    record = Record(calls)
    wandb = type("Run", (), {"dir": str(tmp_path), "watch": record.watch, "log": record.log})()
    loggers = (
        TensorBoard(record),
        SacredLogger(record, log_on_batch_end=True),
        MlflowLogger(run=record, client=record, log_on_batch_end=True),
        NeptuneLogger(record, log_on_batch_end=True, close_after_train=False),
        WandbLogger(wandb),
    )
    names = (".add_scalar", ".log_scalar", ".log_metric", "[training][train][epoch][loss]", ".log")
    for logger, name in zip(loggers, names, strict=True):
        calls.clear()
        model = trained(logger)
        told = [args for path, args in calls if path.startswith(name)]
        known = str([json.dumps(args, default=str) for args in told])
        assert all(str(loss) in known for loss in model.history_[:, "train_loss"]), name
    assert (tmp_path / "best_model.pth").exists()


def test_what_sizes_modules_is_refused() -> None:
    sentence = (
        "`callbacks` must not hold InputShapeSetter: a network takes its size from X by itself. "
        "Leave it out; sizes may be None, as in (None, 100, None)."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        trained(InputShapeSetter())


def test_no_callback_of_skorch_is_forgotten() -> None:
    """Each is in this file and on the page, or acts within another: of the installed version."""
    page = (Path(__file__).parents[1] / "docs" / "estimators.md").read_text()
    mine = Path(__file__).read_text()
    here = {"EpochTimer", "GradientNormClipping"}  # always there; with theanets' maximum
    for name in set(skorch.callbacks.__all__) - {"Callback"}:
        assert f"`{name}" in page, name
        assert name in mine or name in here, name
