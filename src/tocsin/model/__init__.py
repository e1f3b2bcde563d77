"""The nouns: what flows through tocsin, with no I/O."""
