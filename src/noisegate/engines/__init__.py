"""The engines, one file for each array library: how to read the field there, and no more."""
