"""Once, not twice: identifiers made comparable, and who may be the same person."""
