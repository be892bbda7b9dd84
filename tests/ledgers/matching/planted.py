"""Two lists of any size with differences planted by number, and what must be found of them.

Of every hundred of our lines, one each is missing on their side, short, over, there twice, late,
came back, has no reference (and is matched by its token), is charged a fee beside, and has a
stranger beside it; every thousandth begins a batch of ten that they booked as one. Everything is
said by the number of the line, in SQL, so that a million cost no Python.
"""

from psycopg import sql

from ledgers.matching.rules import Name, Rule
from tests.ledgers.matching.oracle import OURS, THEIRS

MISSING, SHORT, OVER, TWICE, LATE, BACK, NO_REF, FEE, STRANGER = range(1, 10)
BATCH = 550  # ten lines from here on, of every thousand

_LINE = """
    SELECT i, -(60000 + i %% 5000) AS amount, DATE '2026-03-02' + i %% 5 AS on,
           i %% 1000 BETWEEN {batch} AND {batch} + 9 AS batched,
           CASE WHEN i %% 1000 BETWEEN {batch} AND {batch} + 9 THEN 0 ELSE i %% 100 END AS plant,
           upper(left(encode(sha256(convert_to(i::text, 'UTF8')), 'hex'), 26)
                 || lpad(i::text, 7, '0')) AS ref
    FROM generate_series(1, %(lines)s) AS i
""".replace("{batch}", str(BATCH))

OUR_LINES = sql.SQL(
    f"""
    SELECT 'je' || i / 1000, 'A' || lpad(i::text, 7, '0'), amount, 'TRY', x.on, x.on, 'payment',
           CASE WHEN batched THEN '' ELSE ref END, 'W' || i,
           CASE WHEN batched THEN ARRAY['BATCH' || i / 1000] ELSE '{{}}'::text[] END, ''
    FROM ({_LINE}) x
    """
)

# In another order than ours, with the extra lines beside.
THEIR_LINES = sql.SQL(
    f"""
    WITH x AS MATERIALIZED ({_LINE})
    SELECT 'ST' || t.i / 5000, t.line_id, t.amount, 'TRY', t.on, t.on, t.kind, t.ref, t.token,
           t.keys, ''
    FROM (
        SELECT i, 'B' || lpad(i::text, 7, '0') AS line_id,
               CASE plant WHEN {SHORT} THEN amount + 25 WHEN {OVER} THEN amount - 40
                          ELSE amount END AS amount,
               x.on + CASE plant WHEN {LATE} THEN 10 ELSE 0 END AS on, 'payment' AS kind,
               CASE plant WHEN {NO_REF} THEN '' ELSE lower(ref) END AS ref, 'W' || i AS token,
               '{{}}'::text[] AS keys
        FROM x WHERE NOT batched AND plant <> {MISSING}
        UNION ALL
        SELECT i, 'D' || lpad(i::text, 7, '0'), amount, x.on, 'payment', ref, 'W' || i, '{{}}'
        FROM x WHERE plant = {TWICE}
        UNION ALL
        SELECT i, 'R' || lpad(i::text, 7, '0'), -amount, x.on + 1, 'return', ref, 'W' || i, '{{}}'
        FROM x WHERE plant = {BACK}
        UNION ALL
        SELECT i, 'F' || lpad(i::text, 7, '0'), -25, x.on, 'fee', '', '', '{{}}'
        FROM x WHERE plant = {FEE}
        UNION ALL
        SELECT i, 'S' || lpad(i::text, 7, '0'), amount, x.on, 'payment', 'STRANGER' || i, '', '{{}}'
        FROM x WHERE plant = {STRANGER}
        UNION ALL
        SELECT min(i), 'G' || lpad(min(i)::text, 7, '0'), sum(amount), max(x.on), 'payment', '', '',
               ARRAY['BATCH' || i / 1000]
        FROM x WHERE batched GROUP BY i / 1000
    ) t ORDER BY md5(t.line_id)
    """
)

# plant → name, whose line bears it, first letter of the line, and the difference.
EXPECTED = {
    MISSING: (Name.MISSING, OURS, "A"),
    SHORT: (Name.SHORT, THEIRS, "B"),
    OVER: (Name.OVER, THEIRS, "B"),
    TWICE: (Name.DUPLICATE, THEIRS, "D"),
    BACK: (Name.RETURNED, THEIRS, "R"),
    FEE: (Name.FEE, THEIRS, "F"),
    STRANGER: (Name.UNKNOWN, THEIRS, "S"),
}


def plant_of(i: int) -> int:
    return 0 if BATCH <= i % 1000 <= BATCH + 9 else i % 100


def expected_names(lines: int) -> set[tuple[Name, str, str]]:
    """(name, side, line id) of every exception that must be there."""
    found = set()
    for i in range(1, lines + 1):
        if plant_of(i) in EXPECTED:
            name, side, letter = EXPECTED[plant_of(i)]
            found.add((name, side, f"{letter}{i:07}"))
    return found


def expected_matches(lines: int) -> dict[Rule, int]:
    """How many matches there must be of each rule."""
    numbers = range(1, lines + 1)
    batched = [i for i in numbers if BATCH <= i % 1000 <= BATCH + 9]
    apart = (MISSING, SHORT, OVER, TWICE, NO_REF)
    return {
        Rule.REFERENCE: sum(plant_of(i) not in apart for i in numbers) - len(batched),
        Rule.REPEATED: sum(plant_of(i) == TWICE for i in numbers),
        Rule.DAY: sum(plant_of(i) == NO_REF for i in numbers),
        Rule.GROUP: len({i // 1000 for i in batched}),
    }


def expected_late(lines: int) -> int:
    return sum(plant_of(i) == LATE for i in range(1, lines + 1))
