"""Scenario files: what is assumed, said once, checked before anything is computed, and hashed.

* `chances`: a number that is known, or the distribution of one that is not;
* `model`: what a scenario file holds;
* `reading`: from a file to a scenario that fits its rule pack, every problem at once, in place.
"""
