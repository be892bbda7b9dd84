"""Records of named people, and a database ready to take them: what the registry's tests share."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from adapters.mapping import AnswerType
from adapters.port import Record
from cva import staff, vault
from cva.registry.importing import ImportSummary, Origin, find_import, take
from cva.vault import Vault
from ledgers.problems import Finding, Place

AT = datetime(2026, 3, 5, 9, tzinfo=UTC)
SUBMITTED = datetime(2026, 3, 1, 8, tzinfo=UTC)
OWN = "Root passphrase of the office"
WORDS = "four words that differ"
VAULT = Vault(bytes(range(32)))
TYPES = {
    "rcsi": AnswerType.INT,
    "months_rent_owed": AnswerType.INT,
    "monthly_income_minor": AnswerType.MONEY_TRY,
    "shelter": AnswerType.SELECT,
    "owns_land": AnswerType.BOOL,
    "arrived_on": AnswerType.DATE,
}
LAYLA = {
    "given_name": "Layla", "family_name": "Haddad", "relationship": "head", "sex": "female",
    "birth_date": "1987-04-23", "birth_date_precision": "exact", "nationality": "SY",
    "id_type": "tr_foreigner_id", "id_number": "99123456740", "disability_percent": "0",
}  # fmt: skip
YUSUF = {
    "given_name": "Yusuf", "family_name": "Haddad", "relationship": "child", "sex": "male",
    "birth_date": "2019", "birth_date_precision": "year", "nationality": "sy", "id_type": "none",
}  # fmt: skip
FIELDS = {
    "consent_given": "yes", "consent_language": "ar", "consent_on": "2026-02-01",
    "province": "TR-31", "district": "Antakya", "address": "Sokak 12, kat 3",
    "population_group": "syrian_tp", "declared_size": "2", "phone": "0532 123 45 67",
    "iban": "TR33 0006 1005 1978 6457 8413 26", "voucher_card_ref": "VC-00001234",
}  # fmt: skip
ANSWERS = {
    "rcsi": "17", "monthly_income_minor": "1250.5", "shelter": "tent", "owns_land": "no",
    "arrived_on": "2015-09-01",
}  # fmt: skip


def record(
    record_id: str = "1001",
    revision: str = "r1",
    *,
    fields: Mapping[str, str] = FIELDS,
    members: Sequence[Mapping[str, str]] = (LAYLA, YUSUF),
    answers: Mapping[str, str] = ANSWERS,
    submitted_at: datetime | None = SUBMITTED,
    has_roster: bool = True,
) -> Record:
    place = Place("march.json", "", 7)
    return Record(place, record_id, revision, submitted_at, fields, members, answers, has_roster)


@dataclass
class Office:
    """A database with a master key and two people: Rana administers, Amal runs the programme."""

    conn: psycopg.Connection
    rana: str
    amal: str

    def take(self, *items: Record | Finding, file: str = "march.json") -> ImportSummary:
        """Import records as a file of their own."""
        origin = Origin("cva_registration", file, secrets.token_bytes(32), TYPES)
        assert find_import(self.conn, origin) is None
        return take(self.conn, VAULT, origin, items, (self.amal, AT))

    def second(self) -> str:
        """Deniz of finance, the second of two people; hired when first asked for."""
        hired = self.conn.execute("SELECT person_id FROM staff.person WHERE login = 'deniz'")
        row = hired.fetchone()
        if row is not None:
            return str(row[0])
        deniz = staff.add_person(self.conn, self.rana, "deniz", "Deniz Finance", WORDS, AT)
        staff.grant_role(self.conn, self.rana, OWN, deniz.person_id, staff.Role.FINANCE, AT)
        return deniz.person_id

    def one(self, query: str, *values: object) -> tuple[object, ...]:
        row = self.conn.execute(query, values).fetchone()
        assert row is not None
        return tuple(row)


def open_office(conn: psycopg.Connection) -> Office:
    vault.bind(conn, VAULT, AT)
    rana = staff.add_first_administrator(conn, "rana", "Rana Administrator", OWN, AT).person_id
    amal = staff.add_person(conn, rana, "amal", "Amal Programme", WORDS, AT).person_id
    staff.grant_role(conn, rana, OWN, amal, staff.Role.PROGRAMME, AT)
    conn.commit()
    return Office(conn, rana, amal)
