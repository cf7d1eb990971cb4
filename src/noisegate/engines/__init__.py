"""One file per array library: how to read the field there, and nothing else."""
