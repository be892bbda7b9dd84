"""Duplicate assistance, as policy: when two records give the same people the same thing twice.

The policy is a file (`policy.load`); lists of records are judged in one pass
(`sets.judged(connection, lists, policy)` returns a table of `OVERLAPS`); every verdict can be said
in words (`explaining`).
"""

from eligibility.duplicates.overlap.records import (
    ACTS,
    ASSISTANCE,
    HOUSEHOLD_LINKS,
    OVERLAPS,
    PERSON_LINKS,
    ROSTER,
    Act,
    Action,
    Assistance,
    Basis,
    HouseholdLink,
    HouseholdPair,
    Lists,
    Modality,
    Overlap,
    PersonLink,
    Reason,
    Relation,
    RosterLine,
    Status,
    Strength,
    Unit,
    Verdict,
    overlaps_of,
    table_of,
)

__all__ = [
    "ACTS",
    "ASSISTANCE",
    "HOUSEHOLD_LINKS",
    "OVERLAPS",
    "PERSON_LINKS",
    "ROSTER",
    "Act",
    "Action",
    "Assistance",
    "Basis",
    "HouseholdLink",
    "HouseholdPair",
    "Lists",
    "Modality",
    "Overlap",
    "PersonLink",
    "Reason",
    "Relation",
    "RosterLine",
    "Status",
    "Strength",
    "Unit",
    "Verdict",
    "overlaps_of",
    "table_of",
]
