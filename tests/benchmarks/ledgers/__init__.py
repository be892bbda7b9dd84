"""The bench of the ledger: mass and single postings, verification, balances, reconciliation.

    python -m tests.benchmarks.ledgers [--loads N] [--record]

`variants` has what mass posting is held against, `books` our own books and the work on them,
`pacing` single postings under pgbench, `tools` other people's programs on our export,
`reconciliation` a million lines against a million, `running` the order of things, `report` the
page and the floors.
"""
