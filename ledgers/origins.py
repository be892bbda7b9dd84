"""What an entry is about: a reversal is about the event of the entry that it undoes.

A reversal undone by another stands on the origin's side again, so the whole chain is followed.
Whoever sums what an event did to the books asks for `ORIGIN`, and reversals take themselves off.
"""

# Of the entry `e`; entries that undo nothing, nearly all, cost nothing.
ORIGIN = """
    CASE WHEN e.reverses IS NULL THEN e.event ELSE (
        WITH RECURSIVE undone (event, reverses) AS (
            SELECT o.event, o.reverses FROM books.entry o WHERE o.entry_id = e.reverses
            UNION ALL
            SELECT o.event, o.reverses FROM undone u JOIN books.entry o ON o.entry_id = u.reverses
        )
        SELECT event FROM undone WHERE reverses IS NULL
    ) END
"""
