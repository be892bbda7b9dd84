"""What a registration form asks for, held against what a rule pack reads.

An input that no question answers is unknown for every household: the rules would stop for all of
them, or, worse, pass or fail everybody as the pack says for unknowns. So a pack is checked against
the mapping of the form whose registrations it will judge.
"""

from collections.abc import Iterator, Mapping

from adapters.mapping import AnswerType, FormMapping
from cva.registry.snapshot import HOUSEHOLD_COLUMNS, MEMBER_COLUMNS, VERSION_INPUTS
from cva.registry.validation import MEANS
from eligibility.rules.document import Document, YamlPath
from eligibility.rules.terms import Kind
from ledgers.problems import Finding, Problem

PACK_INPUT_NOT_ASKED = Problem(
    "pack_input_not_asked",
    "The registration form {form} does not ask for {name}.",
    "Use one of: {known}; or add the question to the form and to its mapping.",
)
PACK_INPUT_OTHER_TYPE = Problem(
    "pack_input_other_type",
    "The input {name} is declared as {declared}; the registration form {form} answers {answered}.",
    "Declare it as {answered}, or correct the mapping of the form.",
)

ANSWER_KINDS = {
    AnswerType.INT: Kind.INT,
    AnswerType.MONEY_TRY: Kind.MONEY,
    AnswerType.TEXT: Kind.TEXT,
    AnswerType.BOOL: Kind.BOOL,
    AnswerType.DATE: Kind.DATE,
    AnswerType.SELECT: Kind.TEXT,
}
VERSION_KINDS = {"roster_size": Kind.INT, "consent_given": Kind.BOOL}


def not_asked(document: Document, path: YamlPath, mapping: FormMapping) -> Iterator[Finding]:
    """Yield the declared inputs of the pack at `path` of `document` that the form does not answer.

    Standard columns (`province`, `birth_date` and so on) come from every form.
    """
    values = document.values
    for step in (*path, "inputs"):
        values = values.get(step) if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping):
        return
    answered = {
        "household": household_answers(mapping), "member": dict.fromkeys(MEMBER_COLUMNS),
    }  # fmt: skip
    for side, kinds in answered.items():
        declared = values.get(side)
        for name, kind in (declared if isinstance(declared, Mapping) else {}).items():
            place = document.place((*path, "inputs", side, str(name)))
            if name not in kinds:
                known = ", ".join(sorted(kinds))
                yield PACK_INPUT_NOT_ASKED.finding(place, form=mapping.form, name=name, known=known)
            elif kinds[name] not in (None, kind):
                yield PACK_INPUT_OTHER_TYPE.finding(
                    place, form=mapping.form, name=name, declared=kind, answered=kinds[name]
                )


def household_answers(mapping: FormMapping) -> dict[str, Kind | None]:
    """Return the household inputs that a form answers, with their types where it states them."""
    answers: dict[str, Kind | None] = dict.fromkeys(HOUSEHOLD_COLUMNS)
    answers |= {name: VERSION_KINDS.get(name) for name in VERSION_INPUTS}
    read = {*mapping.household.values(), *mapping.members.values()}
    answers |= {name: Kind.BOOL for field, name in MEANS.items() if field in read}
    answers |= {answer.name: ANSWER_KINDS[answer.type] for answer in mapping.answers.values()}
    del answers["household_id"], answers["version_id"]
    return answers
