"""The runs: one is trained in `run`, many go to the processes of `pool`, and `store` keeps each."""
