"""What workers need, for the process that they are copied from; nothing else imports this."""

from contextlib import suppress
from importlib import import_module

with suppress(Exception):  # the workers import it themselves then, and can say what is wrong
    import_module("noisegate.study.train.pool")
    # A process imports this with its first optimizer, which takes a second or two.
    import_module("torch._dynamo")
