"""What the runs say: statistics, the one scoring of the test split, comparisons, uncertainty."""
