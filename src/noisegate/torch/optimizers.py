"""Watch the steps of optimizers."""

from collections.abc import Callable
from weakref import ref

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook


def watch_steps(model: nn.Module, act: Callable[[], None]) -> Callable[[], None]:
    """Call a function, once, after an optimizer has changed a model; return what ends the watch."""
    watched, acted = ref(model), False

    def check(optimizer: Optimizer, *args: object) -> None:
        nonlocal acted
        found = None if acted else watched()
        mine = set() if found is None else {id(p) for p in found.parameters()}
        if any(id(p) in mine for group in optimizer.param_groups for p in group["params"]):
            acted = True  # the hook cannot remove itself while hooks are run
            act()

    return register_optimizer_step_post_hook(check).remove
