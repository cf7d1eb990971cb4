"""Every sentence that an error of the study says; each is tested word for word."""

# ruff: noqa: F403
from .data import *
from .files import *
from .running import *
