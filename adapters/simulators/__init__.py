"""Providers to test against: real wire formats, faults chosen by the data.

Each is a program of its own that knows nothing of the rest: it reads and writes the documented
format by its own hand, so that one misreading does not hide another.
"""
