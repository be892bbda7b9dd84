"""Scenario files: what is assumed, said once, checked before anything is computed, and hashed.

* `model`: what a scenario file holds;
* `reading`: from a file to a scenario that fits its rule pack, every problem at once, in place.
"""
