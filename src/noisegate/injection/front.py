"""`inject` puts noise into a model; `handles` finds the noise of a model."""

from collections.abc import Mapping
from typing import Any

from noisegate.core import checks
from noisegate.core.backends import face_of_model
from noisegate.core.errors import prefix_errors
from noisegate.core.rules import SHORTHANDS, refuse_rules

from .handle import Injection
from .own_draws import Choices


def handles(model: Any) -> tuple[Injection, ...]:
    """Return the handles of the noise in a model, even if it was copied, loaded or wrapped since.

    Noise in a module inside the model is found too: within `DataParallel`, `AveragedModel`,
    ``torch.compile`` or a parent. For a part of a model, this returns the whole model's handle if a
    module of the part has noise.

    Examples
    --------
    >>> import copy
    >>> import noisegate as ng, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8))
    >>> noise = ng.inject(model, {"0:out": 0.5}, seed=13)
    >>> ng.handles(copy.deepcopy(model))
    (<noise at 1 site, seed 13, step 0>,)
    """
    with prefix_errors("inject"):
        face = face_of_model(model)
    return tuple(face.handles(model))


@checks.check_call("inject")
def inject(
    model: Any,
    rules: Mapping[str, Any] | None = None,
    seed: int | None = None,
    *,
    existing: bool = False,
    example: Any = None,
    unreached: str = "raise",
    draws: str = "all",
    tied: str | None = None,
    sample_axis: int | Mapping[str, int | None] | None = 0,
    input_dropout: Any = None,
    hidden_dropout: Any = None,
    output_dropout: Any = None,
    input_noise: Any = None,
    hidden_noise: Any = None,
    output_noise: Any = None,
    recurrent_dropout: Any = None,
    weight_dropout: Any = None,
    weight_noise: Any = None,
) -> Injection:
    """Put noise into a model by name, without touching its code.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. The keys of its ``state_dict()`` do not change.
    rules : mapping of str to float, Schedule, Kind, or a list of them
        A rule is a pattern ``path:port`` and a noise. A number p, or a schedule of numbers,
        means ``Dropout(p)``; of whole heads at `heads`, and ``DropKey(p)`` at `scores`. Patterns
        are shell globs in which ``*`` crosses dots. Every rule that matches acts, with its own
        mask; the noises of a list act one after the other. Where nested modules pass on the same
        tensor, a rule acts once, at the innermost; the report says so.

        The path is a module's, without the names that wrappers add. The port is

        - `in` or `out`: the module's input or output. Of several tensors, that is the first
          floating-point one, or the one that is named: ``lstm:out.0``, ``:out.logits``. ``:in`` and
          ``:out`` are the model's own input and output, and so are ``in:out`` and ``out:out``
          unless a module is called `in` or `out`. If the input is whole numbers, ``in:out`` is the
          output of their embedding;
        - `pre`: the input of the activation, in a ``Sequential`` that ends with one and in torch's
          transformer layers;
        - `dropout`, `noise`: the module's own noise, if it is a noise layer or makes noise by
          calling functions. The rule replaces it; ``dropout.0``, ``dropout.1`` name one of several;
        - `probs`, `scores`, `heads`: the probabilities of the attention that the module computes,
          its scores before the softmax, and its heads' outputs;
        - `branch`: a residual block as a whole. A number p drops it for whole samples, which are
          then not computed: stochastic depth. `schedule.by_depth` gives each block its own rate;
        - `tokens`: the sequence that the module is given, (samples, tokens, features), out of which
          tokens are left: a number is p of ``PatchDropout``. The module computes a shorter one;
        - the name of a parameter, such as `weight`: one draw a step, wherever it is used.
    seed : int, optional
        In [0, 2⁶⁴). None draws one from torch's CPU generator.
    existing : bool
        Whether the model's own dropouts are replaced, at the rates that the model gives them,
        unless a rule names them: modules, noisegate's layers, drop paths, and functions.
    example : batch, dict or tuple, optional
        An input of the model. The model is run on it once, in training, to find the noise that
        functions make; the run leaves no trace. Without it, this noise is found in the first
        forward.
    draws : {"all", "dropout"}
        Which random numbers that the model's code draws are made from the seed, with `existing`:
        all of them, or those of dropouts alone.
    unreached : {"raise", "keep"}
        Whether to raise for the model's own dropouts that cannot be replaced, or keep them.
    tied : {None, "each", "all"}
        Where noise on a parameter that several modules share acts: in each module that a rule
        names, or in all of them alike. None refuses such noise.
    sample_axis : int, None, or mapping of rule to int or None
        The axis of the samples, for all rules or for some: 1 for time-major tensors. The rule of
        the model's own dropouts is called ``existing``. A rule for a parameter that is named here
        has one draw for each sample.
    input_dropout, input_noise : float, Schedule, Kind, or a list of them
        Noise at every floating input of the model, or at its embedding's output. A number is p of
        Dropout, or sigma of GaussianNoise.
    hidden_dropout, hidden_noise
        Noise at the outputs of the activation modules before the last layer with weights. In a
        model without such modules: at the outputs of all layers with weights except the last.
    output_dropout, output_noise
        Noise at the model's output.
    recurrent_dropout
        Dropout on the state of all recurrent layers and cells, with one mask for all time steps of
        a sample.
    weight_dropout, weight_noise
        Noise on the weights of all layers that have some, embeddings and normalizations excepted;
        in recurrent layers on those from state to state.

    Returns
    -------
    Injection
        With `sites`, `report()`, `step`, `at()`, `rows`, `off()`, `on()`, `mask()`,
        `set_rate()`, `suggest()`, `state()` and `remove()`.

    Raises
    ------
    UnmatchedRule
        If a rule matches nothing; the message names the nearest sites. For noise that functions
        make, this is raised at the end of the first training forward, which then uses up no step.
    InvalidType, InvalidValue
        If the model, a pattern, a noise or the seed is unusable; if a dropout of the model's own
        cannot be replaced. The model is then untouched.

    Notes
    -----
    A site is active while its own module trains. At step n it has the noise of the key
    ``Stream(seed).site(site).at(n)``, for the whole batch along the sample axis. A module that is
    called outside of a forward of the model has fresh noise, and warns.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> noise = ng.inject(model, {"1:out": 0.5, "in:out": ng.GaussianNoise(0.1)}, seed=13)
    >>> print(noise.report())
    site   noise                     slot  rule
    1:out  Dropout(p=0.5)            0     1:out
    :in    GaussianNoise(sigma=0.1)  0     in:out
    note: 'in:out' means ':in', the model's own input.
    >>> noise.remove()
    """
    for handle in handles(model):
        if handle.failed:
            handle.remove()
    noise = Injection(
        model,
        join_rules(rules, locals()),
        seed,
        sample_axis=sample_axis,
        existing=existing,
        example=example,
        choices=Choices(unreached, draws, tied),
    )
    noise.notices.warn_of_twins()
    return noise


def join_rules(rules: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rules joined with the shorthands among the arguments of a call."""
    rules = {} if rules is None else rules
    if not isinstance(rules, Mapping):
        with prefix_errors("inject"):
            refuse_rules(rules)
    words = {word: arguments[word] for word in SHORTHANDS}
    return {**rules, **{word: noise for word, noise in words.items() if noise is not None}}
