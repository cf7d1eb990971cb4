"""Every sentence that an error of noisegate says; each is tested word for word.

Who, the invariant, what was received, the way out.
"""

# ruff: noqa: F403
from .injection import *
