"""What every test process shares: one thread, and repeatable examples from hypothesis."""

import os

# Before any array library starts its threads: two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# A red test must be red again when it is run again; and a slow machine is not a fault.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
