"""The reconciliation engine: lines of two sides matched by rules or by hand, the rest named.

    sources   lists of lines, and on which side of which comparison they stand
    lines     taking lines in: normalised, immutable, the same again changes nothing
    rules     the rules in their order, with versions and bounds
    passes    the rules as set-based SQL
    running   one run: all passes, recorded
    matches   by hand: match, accept a suggestion, un-match, write off
    exceptions what is open, with name, owner and age
    reports   the nine named reconciliations
    bank      the seventh, as of a day

The promises are in `matching.sql`; what is here only proposes. Nothing here knows a file format,
opens a connection or reads a clock.
"""
