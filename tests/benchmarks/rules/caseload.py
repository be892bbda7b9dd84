"""Households and members to decide about: two Parquet files, made by number alone.

One household has 4.9 members on average. About one value in a hundred is not known, one birth date
in thirty is known to the year, and one household in two hundred has named only some of its people:
what is unknown is computed and told, so the bench must have it.
"""

from pathlib import Path

import duckdb

FULL = 1_000_000
ROW_GROUP = 122_880
# How many of a hundred households have 1, 2, 3 ... members; the mean is 4.9.
SIZES = (6, 9, 13, 17, 18, 14, 10, 7, 4, 2)

# A number from 0 to `below` - 1 that depends on the row and on a word alone.
DRAW = "CREATE MACRO draw(number, word, below) AS (hash(number, word) % below)::bigint"
HOUSEHOLDS = """
    SELECT printf('hh_%08d', place) AS household_id,
      list_extract(['TR-01', 'TR-27', 'TR-31', 'TR-34', 'TR-63'], 1 + draw(place, 'where', 5))
        AS province,
      draw(place, 'roster', 200) > 0 AS has_roster,
      size AS declared_size,
      CASE WHEN draw(place, 'status', 100) > 0 THEN
        list_extract(['tp', 'tp', 'tp', 'ip', 'ip_applicant', 'residence', 'none'],
                     1 + draw(place, 'status', 7)) END AS legal_status,
      CASE WHEN draw(place, 'address', 100) > 0 THEN draw(place, 'address', 12) > 0 END
        AS address_registered,
      CASE WHEN draw(place, 'camp', 100) > 0 THEN draw(place, 'camp', 30) = 0 END AS in_camp,
      CASE WHEN draw(place, 'income', 100) > 0 THEN draw(place, 'income', 19000) * 100 END
        AS monthly_income_minor,
      CASE WHEN draw(place, 'rooms', 250) > 0 THEN 1 + draw(place, 'rooms', 5) END AS rooms,
      CASE WHEN draw(place, 'rcsi', 250) > 0 THEN draw(place, 'rcsi', 57) END AS rcsi
    FROM (SELECT place, list_extract(sizes, 1 + draw(place, 'size', len(sizes)))::int AS size
          FROM range({first}, {last}) t(place), (SELECT {sizes} AS sizes))
"""
MEMBERS = """
    SELECT printf('hh_%08d', place) AS household_id, no::int AS member_no,
      CASE WHEN draw(key, 'sex', 100) > 0 THEN
        CASE WHEN draw(key, 'sex', 2) = 0 THEN 'female' ELSE 'male' END END AS sex,
      CASE WHEN draw(key, 'born', 100) > 0 THEN
        DATE '2024-06-01' - (draw(key, 'born', CASE WHEN no <= 2 THEN 70 ELSE 45 END) * 365
          + draw(key, 'day', 365) + CASE WHEN no <= 2 THEN 6500 ELSE 0 END)::int END AS birth_date,
      CASE WHEN draw(key, 'precision', 30) = 0 THEN 'year' ELSE 'exact' END
        AS birth_date_precision,
      CASE WHEN draw(key, 'percent', 100) > 0 THEN
        CASE WHEN draw(key, 'percent', 30) = 0 THEN 10 * draw(key, 'grade', 11)::int ELSE 0 END
      END AS disability_percent,
      CASE WHEN draw(key, 'job', 100) > 0 THEN draw(key, 'job', 25) = 0 END AS employed,
      CASE WHEN draw(key, 'report', 100) > 0 THEN draw(key, 'report', 4) > 0 END AS report_valid
    FROM (SELECT place, no, place * 16 + no AS key FROM (
      SELECT place, unnest(range(1, size + 1)) AS no FROM (
        SELECT place, list_extract(sizes, 1 + draw(place, 'size', len(sizes)))::int AS size
        FROM range({first}, {last}) t(place), (SELECT {sizes} AS sizes))))
"""


def write_caseload(folder: Path, households: int) -> tuple[Path, Path]:
    """Write the two files unless they are there, and return their paths."""
    paths = folder / f"households-{households}.parquet", folder / f"members-{households}.parquet"
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(DRAW)
        for path, query in zip(paths, (HOUSEHOLDS, MEMBERS), strict=True):
            if path.exists():
                continue
            sizes = [size for size, share in enumerate(SIZES, start=1) for _ in range(share)]
            filled = query.format(first=0, last=households, sizes=sizes)
            part = path.with_suffix(".part")
            connection.execute(
                f"COPY ({filled}) TO '{part}'"
                f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
            )
            part.replace(path)
    return paths
