"""Programmes: what is promised, to whom, with whose money, and how it reaches people."""
