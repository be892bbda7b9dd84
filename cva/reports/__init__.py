"""Reports: what was reached, for whom, from the books and the registry."""
