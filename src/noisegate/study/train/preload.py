"""What workers need, for the process that they are copied from; nothing else imports this."""

from contextlib import suppress

with suppress(Exception):  # the workers import it themselves then, and can say what is wrong
    from . import pool as pool
