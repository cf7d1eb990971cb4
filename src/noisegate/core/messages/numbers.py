"""Sentences about numbers: rates, sizes, schedules."""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def rate_needs_grad(who: str, name: str) -> str:
    return (
        f"{who}: `{name}` requires grad, but the decision to remove has no gradient. "
        f"ConcreteDropout has one; or pass {name}.detach()."
    )
