"""The noise of a training loop that somebody else wrote; one file a library stands above."""
