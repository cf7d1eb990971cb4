"""Put noise into any model by name, and remove it without a trace."""

from .front import handles, inject
from .handle import Injection
from .report import Report

__all__ = ["Injection", "Report", "handles", "inject"]
