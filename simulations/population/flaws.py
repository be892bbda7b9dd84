"""Spoiling rows on purpose, as they are spoilt in real exports; one flaw a household."""

from datetime import date

from simulations.population.people import Answers
from simulations.population.shape import Flaw

CHILD_AGE = 10
CHECKS_FIRST, CHECKS = 2, 97  # check digits of an IBAN run from 02 to 98


def spoil(flaw: Flaw, fields: Answers, members: list[Answers], reference_date: date) -> None:
    """Change `fields` and `members` in place so that they have `flaw`.

    A household with a doubtful IBAN has one already, and a shared phone is already shared.
    """
    head = members[0]
    match flaw:
        case Flaw.NO_MEMBERS:
            members.clear()
        case Flaw.NO_NAMES:
            for member in members:
                member["given_name"] = member["family_name"] = ""
        case Flaw.DOUBTFUL_ID:
            head["id_number"] = f"{head['id_number'][:-1]}{(int(head['id_number'][-1]) + 1) % 10}"
        case Flaw.CHILD_HEAD | Flaw.IMPOSSIBLE_BIRTH_DATE | Flaw.FEBRUARY_31:
            head["birth_date"] = _birth_date(flaw, head["birth_date"], reference_date)
        case Flaw.FUTURE_BIRTH_DATE:
            members[-1]["birth_date"] = _birth_date(flaw, "", reference_date)
        case _:
            fields.update(_spoilt(flaw, fields))


def _birth_date(flaw: Flaw, birth_date: str, reference_date: date) -> str:
    match flaw:
        case Flaw.CHILD_HEAD:
            return f"{reference_date.year - CHILD_AGE}-01-01"
        case Flaw.IMPOSSIBLE_BIRTH_DATE:
            return f"{birth_date[:4]}-13-05"
        case Flaw.FEBRUARY_31:
            return f"{birth_date[:4]}-02-31"
        case _:
            return f"{reference_date.year + 2}-03-01"


def _spoilt(flaw: Flaw, fields: Answers) -> Answers:
    match flaw:
        case Flaw.UNKNOWN_PROVINCE:
            return {"province": "TR-99"}
        case Flaw.NEGATIVE_INCOME:
            return {"monthly_income_try": "-350.00"}
        case Flaw.FRACTIONAL_INCOME:
            return {"monthly_income_try": "1250.505"}
        case Flaw.DOUBTFUL_PHONE:
            return {"phone": "0596 12"}
        case Flaw.DOUBTFUL_IBAN:
            iban = fields["iban"]
            check = (int(iban[2:4]) - CHECKS_FIRST + 1) % CHECKS + CHECKS_FIRST
            return {"iban": f"{iban[:2]}{check:02d}{iban[4:]}"}
        case _:
            return {}
