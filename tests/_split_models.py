"""A model that the ranks of a mesh split: by units of FSDP, by stages of a pipeline."""

import copy
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng

STEPS, BATCH, MICRO = 2, 16, 4
DATA = torch.arange(1.0, STEPS * BATCH * 6 + 1).reshape(STEPS, BATCH, 6).cos()
RULES: dict[str, Any] = {
    "0:branch": ng.Dropout(0.5, shared_axes=slice(None)),  # the same for all samples
    "1.up:in": ng.GaussianNoise(0.1),
    "2:branch": ng.drop_path(0.5),
    "head:in": 0.3,
}
# Of each half of the model.
SITES = (
    ("0:branch", "1.drop:dropout"),
    ("2:branch", "3.drop:dropout", "head:in"),
)


class Block(nn.Module):
    """A residual block with a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.drop = nn.Linear(6, 6), nn.Dropout(0.4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(torch.tanh(self.up(x)))


class Blocks(nn.Sequential):
    """Blocks that may be checkpointed, and a head."""

    checkpointed = False

    def forward(self, x: Tensor) -> Tensor:
        for part in self:
            x = checkpoint(part, x, use_reentrant=False) if self.checkpointed else part(x)
        return x


def make_blocks() -> Blocks:
    torch.manual_seed(0)
    model = Blocks(*(Block() for _ in range(4)))
    model.add_module("head", nn.Linear(6, 1))
    return model


def put(model: nn.Module, rules: dict[str, Any] = RULES) -> Any:
    return ng.inject(model, rules, existing=True, seed=3)


def compute_loss(y: Tensor, target: Tensor) -> Tensor:
    return (y.square() + target).mean()


def train_whole(model: Any, noise: Any, batches: list[Tensor]) -> Any:
    """Return the loss and the masks of each step, and the parameters at the end."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    losses, masks = [], []
    for x in batches:
        loss = compute_loss(model(x), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        masks.append([torch.tensor(noise.mask(site)) for site in SITES[0] + SITES[1]])
    return losses, masks, list_weights(model)


def list_weights(model: nn.Module) -> list[Tensor]:
    """Return the whole parameters."""
    whole: list[Any] = [getattr(p, "full_tensor", lambda p=p: p)() for p in model.parameters()]
    return [p.detach() for p in whole]


def wrap_ddp(model: nn.Sequential, world: int) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model)


def wrap_hsdp(model: nn.Sequential, world: int) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("replicate", "shard"))
    for part in model:
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


WRAPS = {"ddp": wrap_ddp, "hsdp": wrap_hsdp}


def train_wrapped(name: str) -> Any:
    """Train on this rank's samples."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    wrapped = WRAPS[name](model := make_blocks(), world)
    noise = put(model)
    noise.rows = "interleaved"
    return train_whole(wrapped, noise, [x[rank::world] for x in DATA])


def cut(model: Any, index: int) -> Any:
    """Return one of two stages: the model without the parts of the other."""
    stage = copy.deepcopy(model)
    for name in ("2", "3", "head") if index == 0 else ("0", "1"):
        delattr(stage, name)
    return stage


# The schedule, whether stages are cut from a model with noise, and whether they are checkpointed.
PIPELINES = {
    "gpipe": ("ScheduleGPipe", True, False),
    "1f1b": ("Schedule1F1B", False, True),
}


def train_pipeline(name: str, mesh: Any) -> Any:
    """Train one stage of two, on every second sample; as `train_whole`, without the losses."""
    from torch.distributed import pipelining

    schedule_name, cut_later, checkpointed = PIPELINES[name]
    index, rank = mesh.get_local_rank("stage"), mesh.get_local_rank("data")
    whole = make_blocks()
    if cut_later:
        put(whole)
    stage = cut(whole, index)
    stage.checkpointed = checkpointed
    if not cut_later:
        put(stage, {rule: RULES[rule] for rule in list(RULES)[2 * index : 2 * index + 2]})
    (noise,) = ng.handles(stage)
    noise.rows = ng.RankRows("interleaved", rank, 2)
    masks: list[Any] = []

    def note(*_: Any) -> None:
        masks.append([torch.tensor(noise.mask(site)) for site in SITES[index]])

    stage.register_forward_hook(note)
    wrapped = nn.parallel.DistributedDataParallel(stage, process_group=mesh.get_group("data"))
    x, between, y = (torch.zeros(BATCH // 2 // MICRO, width) for width in (6, 6, 1))
    between.requires_grad_()
    # Else torch tries the stage in the first step, and that forward takes rows.
    shapes = {"input_args": between if index else x, "output_args": y if index else between}
    stage_at = pipelining.PipelineStage(
        wrapped, index, 2, torch.device("cpu"), group=mesh.get_group("stage"), **shapes
    )
    schedule = getattr(pipelining, schedule_name)(stage_at, MICRO, loss_fn=compute_loss)
    optimiser = torch.optim.SGD(stage.parameters(), 0.1)
    losses, found = [], []
    for step in range(STEPS):
        optimiser.zero_grad()
        masks.clear()
        parts: list[Any] = []
        with noise.at(step):
            if index == 0:
                schedule.step(DATA[step][rank::2])
            else:
                schedule.step(target=torch.zeros(BATCH // 2, 1), losses=parts)
        optimiser.step()
        losses.append(sum(part.item() for part in parts) / MICRO)
        found.append([torch.cat(each) for each in zip(*masks[-MICRO:], strict=True)])
    return losses, found, list_weights(stage)
