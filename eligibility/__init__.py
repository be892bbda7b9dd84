"""Households: facts in; decisions, duplicates and amounts out. No connection, no clock."""
