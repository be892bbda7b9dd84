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

# Whether the entry `e` stands: nobody has undone it, or that was undone too.
STANDING = """
    (WITH RECURSIVE undoing (entry_id) AS (
        SELECT r.entry_id FROM books.entry r WHERE r.reverses = e.entry_id
        UNION ALL
        SELECT r.entry_id FROM undoing u JOIN books.entry r ON r.reverses = u.entry_id
    )
    SELECT (count(*) & 1) = 0 FROM undoing)
"""
