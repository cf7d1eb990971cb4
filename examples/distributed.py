"""Train on handwritten digits in any number of processes, and print what does not depend on it.

    torchrun --standalone --local-addr localhost --nproc-per-node 4 examples/distributed.py

Each process has its share of every batch, as torch's `DistributedSampler` deals them. The digest is
of the masks of all samples at all steps, in the order of the whole batch: it is the same for any
number of processes that divides the batch. Losses differ in the last digits, since the order in
which gradients are added does.
"""

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import noisegate as ng

BATCH, EPOCHS = 48, 3


def main() -> None:
    """Train, and print from the first process."""
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    x, y = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
    data = torch.utils.data.Subset(data, range(len(data) // BATCH * BATCH))
    sampler = DistributedSampler(data, world, rank, seed=13)
    loader = DataLoader(data, BATCH // world, sampler=sampler)

    torch.manual_seed(13)
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    model = nn.parallel.DistributedDataParallel(network)
    noise = ng.inject(model, {"0:in": ng.GaussianNoise(0.1)}, existing=True, seed=13)
    noise.rows = "interleaved"
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2)

    digest = hashlib.sha256()
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for inputs, targets in loader:
            loss = F.cross_entropy(model(inputs), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            mask = torch.from_numpy(noise.mask("2:dropout"))
            masks = [torch.empty_like(mask) for _ in range(world)]
            distributed.all_gather(masks, mask)
            whole = torch.stack(masks, dim=1).flatten(0, 1)
            digest.update(np.packbits(whole.numpy()).tobytes())
        distributed.all_reduce(loss := loss.detach())
        if not rank:
            print(f"epoch {epoch + 1}: loss of the last batch {loss.item() / world:.6f}")
    if not rank:
        print(f"{world} processes: {noise.step} steps, masks {digest.hexdigest()[:16]}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
