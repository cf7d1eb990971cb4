"""The study's data: files as rows of inputs and a target, split at random."""
