"""What noise is, without any array library: addresses, draws, kinds, rules."""
