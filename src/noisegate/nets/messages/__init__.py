"""Every sentence that an error of networks says; each is tested word for word."""

# ruff: noqa: F403
from .training import *
