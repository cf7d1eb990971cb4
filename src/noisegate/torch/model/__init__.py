"""What injection needs of a model of torch's: its sites, hooks, draws and modules."""
