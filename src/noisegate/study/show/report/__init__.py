"""The HTML report: one file that needs nothing else, on a phone, a screen and paper."""

from .page import html

__all__ = ["html"]
