"""Payment plans: prepared, approved, released, sent, observed, settled, followed up, reconciled.

A plan's life, and the module of each step:

    planning → approving → releasing → sending → observing → settling → following → reconciling

Beside them `stopping` (why a line waits, whose work that is, until when) and `overlapping` (what
other agencies give the same people).

Every step is one function that takes the caller's connection (or, where it talks to a provider, the
engine), checks the person, and changes the world by set-based SQL. The promises are in
`cva/schema.sql` and `cva/duplicates.sql`; what is here only proposes.
"""
