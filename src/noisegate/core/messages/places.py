"""Sentences about layers, models and what is not installed."""


def seed_without_site(who: str) -> str:
    return (
        f"{who}: a layer with `seed` needs `site` too, or two layers with one seed would share "
        f"a mask. Write for example {who}(seed=13, site='hid1:out')."
    )


def site_without_seed(who: str) -> str:
    return (
        f"{who}: `site` does nothing without `seed`. "
        f"Write for example {who}(seed=13, site='hid1:out')."
    )


def no_step(who: str) -> str:
    return (
        f"{who}: a layer without `seed` has no step; it draws afresh at every call. "
        f"Write for example {who}(seed=13, site='hid1:out')."
    )


def in_backward(who: str) -> str:
    return (
        f"{who}: a seeded noise was called inside a backward pass that torch.utils.checkpoint "
        "does not know, where its step is unknown, and another mask would make the gradient "
        "wrong. Use torch.utils.checkpoint, leave the noise out of that part, or call a kind "
        "there with a key of your own."
    )


def no_weight(who: str, value: object) -> str:
    return (
        f"{who}: `module` must be the layer that the noise feeds, with a weight of shape "
        f"(outputs, inputs, ...); got {type(value).__name__}."
    )


def learned_rate(who: str) -> str:
    return (
        f"{who}: `p` is learned by this layer, so it follows no schedule. Give a number to begin "
        f"with, or put noisegate.{who}(p=schedule) in with noisegate.inject."
    )


def learned_zero(who: str) -> str:
    return f"{who}: `p` must be in (0, 1), since it is learned by its logit; got 0.0."
