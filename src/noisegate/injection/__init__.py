"""Noise put into a model that somebody else wrote, by name, and taken out without a trace."""

from .handle import Injection
from .inject import handles, inject
from .report import Report

__all__ = ["Injection", "Report", "handles", "inject"]
