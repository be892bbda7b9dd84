"""What households share with each other: phones, accounts, cards, the name of the head.

Found by tokens when an import has copied its rows, for the households of that import among all that
are live: a finding for each, never a refusal. Relatives share a phone, and two people a name; who
is one and the same household is for `linking` to ask and for people to decide.
"""

from collections.abc import Iterator

from psycopg import Connection

from ledgers.problems import Finding, Place, Problem, Weight

PHONE_SHARED = Problem(
    "phone_shared",
    "The household shares its phone number with others: {households} households have it.",
    "Nothing, if they share a phone; otherwise ask for the right number.",
)
ACCOUNT_SHARED = Problem(
    "account_shared",
    "The household shares its account with others: {households} households have it.",
    "Find out whose account it is before it is paid to.",
)
CARD_SHARED = Problem(
    "card_shared",
    "The household shares its card reference with others: {households} households have it.",
    "Compare with the card packs that were handed out.",
)
NAME_SHARED = Problem(
    "name_shared",
    "The head's name is also the head's name in others: {households} households have it.",
    "Nothing, if the people are different; `cva duplicates` compares them.",
    weight=Weight.NOTE,
)

SHARED = {
    "phone": PHONE_SHARED,
    "iban": ACCOUNT_SHARED,
    "voucher_card_ref": CARD_SHARED,
    "debit_card_ref": CARD_SHARED,
    "name": NAME_SHARED,
}

_SHARED = """
    CREATE TEMPORARY TABLE shared ON COMMIT DROP AS
    WITH mine AS MATERIALIZED (
        SELECT DISTINCT i.token, i.kind, v.household_id
        FROM registry.version v JOIN registry.identifier i USING (version_id)
        WHERE v.import_id = %(import)s AND i.kind = ANY(%(kinds)s)),
    wanted AS MATERIALIZED (SELECT DISTINCT token, kind FROM mine),
    live AS MATERIALIZED (SELECT version_id, household_id FROM registry.live),
    held AS (
        SELECT w.token, w.kind, count(DISTINCT l.household_id) AS households
        FROM wanted w JOIN registry.identifier i USING (token, kind) JOIN live l USING (version_id)
        GROUP BY w.token, w.kind)
    SELECT row_number() OVER (ORDER BY m.household_id, m.kind) AS seq,
           m.household_id, m.kind, h.households
    FROM mine m JOIN held h USING (token, kind)
    WHERE h.households > 1
"""


def found(conn: Connection, import_id: str, at_once: int) -> Iterator[list[tuple[str, Finding]]]:
    """Give household ids and what each shares, at most `at_once` in a list.

    Gathers the planner's statistics of the registry, which the import has changed.
    """
    conn.execute("SELECT registry.analyse()")
    conn.execute(_SHARED, {"import": import_id, "kinds": list(SHARED)})
    # Names repeat: in a country there are more of these than memory should hold.
    with conn.cursor(name="shared") as cursor:
        cursor.execute("SELECT household_id, kind, households FROM shared ORDER BY seq")
        while rows := cursor.fetchmany(at_once):
            yield [
                (household_id, SHARED[kind].finding(Place(field=kind), households=households))
                for household_id, kind, households in rows
            ]
    conn.execute("DROP TABLE shared")
