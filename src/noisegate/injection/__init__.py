"""Noise put into a model that somebody else wrote, by name, and taken out without a trace."""

from .front import handles, inject
from .handle import Injection
from .report import Report

__all__ = ["Injection", "Report", "handles", "inject"]
