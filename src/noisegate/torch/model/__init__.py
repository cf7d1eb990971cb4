"""Sites, hooks, draws and modules of a torch model, for injection."""
