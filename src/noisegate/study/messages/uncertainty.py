"""The sentences about a network's doubt."""

__all__ = ["outputs_not_finite"]


def outputs_not_finite(bad: int, rows: int, what: str) -> str:
    return (
        f"study: uncertainty needs a model's outputs to be finite; got NaN or infinity for {bad} "
        f"of {rows} {what}. Look there for values far outside of the training data's range."
    )
