"""A program that trains in one process of several; run by `test_loops_processes.py`.

    python _loop_ranks.py LIBRARY FOLDER FIRST LAST

trains from a step to a step, and writes what each rank's noise has kept.
"""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import noisegate as ng
from _loops import SEED, Net, Resumable, X, Y, make_data

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
# Of a batch of 16, in two micro-batches, each rank has its share.
SHARE = 8 // WORLD
RULES = {"net.0:in": 0.5}
seen: list[Tensor] = []


def note(net: Any) -> None:
    """Note what the first layer gets in training: which elements are 0, and the samples."""
    net[0].register_forward_hook(lambda m, args, out: seen.append(args[0].detach().clone()))


def train_lightning(folder: Path, first: int, last: int) -> None:
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net().net

        def on_train_start(self) -> None:
            note(self.net)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    saving = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        use_distributed_sampler=False,
        devices=WORLD,
        strategy="ddp" if WORLD > 1 else "auto",
        callbacks=[ng.lightning.NoiseCallback(RULES, SEED), saving],
        accumulate_grad_batches=2,
        max_steps=last,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    resume = str(folder / f"step={first}.ckpt") if first else None
    # As Lightning makes it, but for the order of the samples.
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    sampler = DistributedSampler(make_data(), WORLD, rank, shuffle=False)
    trainer.fit(Lit(), Resumable(make_data(), SHARE, sampler=sampler), ckpt_path=resume)


def train_transformers(folder: Path, first: int, last: int) -> None:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Model(Net):
        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            logits = self.net(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=SHARE,
        gradient_accumulation_steps=2,
        max_steps=last,
        save_steps=1,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        train_sampling_strategy="sequential",
    )
    model = Model()
    note(model.net)
    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    callback = ng.transformers.NoiseCallback(RULES, SEED)
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[callback])
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{first}") if first else None)


def train_accelerate(folder: Path, first: int, last: int) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = Net()
    note(model.net)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(make_data(), SHARE)
    wrapped, optimiser, loader = accelerator.prepare(model, optimiser, loader)
    noise = ng.accelerate.NoiseState(accelerator, wrapped, RULES, SEED)
    accelerator.register_for_checkpointing(noise)
    if first:
        accelerator.load_state(str(folder / str(first)))
    for number, (x, y) in enumerate(loader):
        if number < 2 * noise.step or noise.step == last:
            continue
        with noise.accumulate(wrapped):
            accelerator.backward(F.cross_entropy(wrapped(x), y))
            optimiser.step()
            optimiser.zero_grad()
        if accelerator.sync_gradients:
            accelerator.save_state(str(folder / str(noise.step)))
    accelerator.end_training()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    library, folder, first, last = sys.argv[1:]
    globals()[f"train_{library}"](Path(folder), int(first), int(last))
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    torch.save(seen, Path(folder) / f"seen-{WORLD}-{first}-{rank}.pt")
