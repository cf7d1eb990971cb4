"""What a reader sees: numbers, sentences, the terminal, figures, the report."""
