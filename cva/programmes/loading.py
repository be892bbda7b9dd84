"""Reading programme files: every problem of a file at once, with its line, column and remedy.

A programme states its rules itself, or takes over those of a pack that it names (`rules: {pack:
essn-2023}`): one that comes with the program, a published version (`essn-2023@2`) or a file beside
it. Its places and its amounts it may state itself; whatever else differs is another pack. What is
published is the programme with the rules written out, and the hash of the pack they came from.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from cva.programmes.model import Destination, Mechanism, NamedPack, Programme
from cva.programmes.naming import PUBLISHED, Published, none_published, pack_named
from eligibility.entitlements import Entitlement, exact_problem, tariff_of
from eligibility.rules.checked import findings_of, read_text, refused
from eligibility.rules.document import Document, YamlPath, found, read_document, read_model
from eligibility.rules.salvage import expression_findings
from eligibility.selection import Selection
from ledgers.money import format_amount
from ledgers.problems import Finding, Problem, Refusal

PROGRAMME_REFUSED = Problem(
    "programme_refused",
    "The programme file has {problems:problem|problems} and cannot be used.",
    "Correct the places listed and check it again.",
)
PROGRAMME_MECHANISM = Problem(
    "programme_mechanism",
    "The delivery mechanism {mechanism} goes with {field} {expected}, not {given}.",
    "Correct the one that is wrong.",
)
PROGRAMME_RESTRICTION = Problem(
    "programme_restriction",
    "A {modality} is {expected}; this programme says {given}.",
    "Cash can be used anywhere; a voucher names under restricted_to where it can be used.",
)
PROGRAMME_CURRENCY = Problem(
    "programme_currency",
    "The currency here is {given}; the programme pays in {expected}.",
    "Use one currency; money that arrives in another is exchanged before it is granted.",
)
PROGRAMME_GRANT_DAYS = Problem(
    "programme_grant_days",
    "The grant ends on {last}, before it begins on {first}.",
    "Correct the two days.",
)
PROGRAMME_BUDGET_SHORT = Problem(
    "programme_budget_short",
    "The budget of {budget} {currency} cannot pay {places:place|places} even at the smallest"
    " amount: that is {least} {currency}.",
    "Lower the places or the amounts, or raise the budget.",
)
PROGRAMME_THRESHOLDS = Problem(
    "programme_thresholds",
    "The threshold above {above} asks for {approvers} approvers, no more than the one before it.",
    "Let amounts and numbers of approvers rise from one threshold to the next.",
)

PROGRAMME_CONTRACT_OF_BANK = Problem(
    "programme_contract_of_bank",
    "A bank transfer is the recipient's when it is booked; this programme states a contract about"
    " balances.",
    "Leave the contract out: a bank keeps no value for recipients.",
)
PROGRAMME_PACK_CHANGED = Problem(
    "programme_pack_changed",
    "The rules are those of the pack {pack}, and {field} is stated beside it.",
    "State only selection and entitlement of your own; change the rest in a pack of another name.",
)
STATED_BESIDE_A_PACK: dict[str, type[BaseModel]] = {
    "selection": Selection,
    "entitlement": Entitlement,
}

GOES_WITH = {
    Mechanism.PREPAID_CARD: (Destination.VOUCHER_CARD, "card_processor"),
    Mechanism.DEBIT_CARD: (Destination.DEBIT_CARD, "card_processor"),
    Mechanism.BANK_TRANSFER: (Destination.IBAN, "bank"),
}
SHIPPED = Path(__file__).parent


def load(path: Path, published: Published = none_published) -> Programme:
    """Return the programme in the YAML file at `path`; `published` looks up a published pack.

    Raises `programme_refused` with every finding, `pack_unreadable` for a file that is not there.
    """
    programme, findings = _read(path, published)
    if programme is None or findings:
        raise refused(PROGRAMME_REFUSED, findings)
    return programme


def check(path: Path, published: Published = none_published) -> tuple[Finding, ...]:
    """Return every problem of the file at `path`; none where the programme can be published."""
    return _read(path, published)[1]


def _read(path: Path, published: Published) -> tuple[Programme | None, tuple[Finding, ...]]:
    document, findings = read_document(read_text(path), path.name)
    if document is None:
        return None, findings
    values, unnamed = _with_named_pack(document, path.parent, published)
    programme, wrong = read_model(document, values, Programme)
    # What is missing because a pack was not found is not missing.
    wrong = tuple(one for one in wrong if not (unnamed and _in_rules(one)))
    findings += unnamed + wrong
    if programme is None:
        return None, findings + (() if unnamed else expression_findings(document, ("rules",)))
    rules = findings_of(programme.rules, document, ("rules",))
    findings += rules + tuple(_amounts(programme, document))
    if not findings:
        findings = tuple(_together(programme, document))
    return programme, findings


def _with_named_pack(
    document: Document, folder: Path, published: Published
) -> tuple[object, tuple[Finding, ...]]:
    """Return the values of a programme with the rules of the pack that it names, if it does."""
    values = document.values
    rules = values.get("rules") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(rules, dict) or "pack" not in rules:
        return values, ()
    name = str(rules["pack"])
    beside = folder / name
    try:
        pack = pack_named(str(beside) if beside.is_file() else name, published)
    except Refusal as refusal:
        place = document.place(("rules", "pack"))
        return values, (found(refusal.problem, place, refusal.facts),)
    version = PUBLISHED.fullmatch(name)
    named = NamedPack(
        code=pack.code, version=int(version["version"]) if version else None, sha256=pack.pack_hash
    )
    own: dict[str, object] = {}
    findings: list[Finding] = []
    for field in rules.keys() - {"pack"}:
        path: YamlPath = ("rules", field)
        if field not in STATED_BESIDE_A_PACK:
            facts = {"pack": name, "field": field}
            findings.append(found(PROGRAMME_PACK_CHANGED, document.place(path), facts))
            continue
        own[field], wrong = read_model(document, rules[field], STATED_BESIDE_A_PACK[field], path)
        findings += wrong
    if findings:
        return values, tuple(findings)
    return {**values, "pack": named, "rules": pack.model_copy(update=own)}, ()


def _in_rules(finding: Finding) -> bool:
    return finding.place.field.startswith("rules")


def _amounts(programme: Programme, document: Document) -> Iterator[Finding]:
    """Yield amounts of the grant and the thresholds that are no amounts of their currency."""
    written: list[tuple[YamlPath, object, str]] = [
        (("grant", "budget"), programme.grant.budget, programme.grant.currency)
    ]
    written += [
        (("approvals", "thresholds", at, "above"), threshold.above, programme.currency)
        for at, threshold in enumerate(programme.approvals.thresholds)
    ]
    for path, amount, currency in written:
        problem = exact_problem(amount, currency)
        if problem is not None:
            yield found(problem.problem, document.place(path), problem.facts)


def _together(programme: Programme, document: Document) -> Iterator[Finding]:
    """Yield what does not fit together in a programme whose every part is right."""
    yield from _mechanism(programme, document)
    yield from _contract(programme, document)
    yield from _money(programme, document)
    yield from _thresholds(programme, document)


def _mechanism(programme: Programme, document: Document) -> Iterator[Finding]:
    destination, kind = GOES_WITH[programme.delivery_mechanism]
    if programme.destination is not destination:
        yield PROGRAMME_MECHANISM.finding(
            document.place(("destination",)),
            mechanism=programme.delivery_mechanism,
            field="destination",
            expected=destination,
            given=programme.destination,
        )
    if programme.provider.kind != kind:
        yield PROGRAMME_MECHANISM.finding(
            document.place(("provider", "kind")),
            mechanism=programme.delivery_mechanism,
            field="a provider of kind",
            expected=kind,
            given=programme.provider.kind,
        )
    expected = "restricted" if programme.modality == "voucher" else "unrestricted"
    named = bool(programme.restricted_to) == (expected == "restricted")
    if programme.restriction != expected or not named:
        yield PROGRAMME_RESTRICTION.finding(
            document.place(("restriction",)),
            modality=programme.modality,
            expected=f"{expected}, {'with' if expected == 'restricted' else 'without'} places",
            given=f"{programme.restriction}, with {len(programme.restricted_to)} places",
        )


def _contract(programme: Programme, document: Document) -> Iterator[Finding]:
    path: YamlPath = ("provider", "contract")
    if programme.provider.contract is None:
        return
    if programme.provider.kind == "bank":
        yield PROGRAMME_CONTRACT_OF_BANK.finding(document.place(path))
    try:
        _ = programme.contract
    except Refusal as refusal:
        for finding in refusal.findings:
            place = document.place((*path, finding.place.field))
            yield found(finding.problem, place, finding.facts)


def _money(programme: Programme, document: Document) -> Iterator[Finding]:
    grant, currency, rules = programme.grant, programme.currency, programme.rules
    stated: tuple[tuple[YamlPath, str], ...] = (
        (("grant", "currency"), grant.currency),
        (("rules", "currency"), rules.currency),
    )
    for path, given in stated:
        if given != currency:
            yield PROGRAMME_CURRENCY.finding(document.place(path), given=given, expected=currency)
    if grant.last_day < grant.first_day:
        yield PROGRAMME_GRANT_DAYS.finding(
            document.place(("grant", "to")), first=grant.first_day, last=grant.last_day
        )
    # What depends on attendance, on cases or on dated amounts is known only in a cycle.
    places = rules.selection.places or 0
    least = places * min(tariff_of(rules.entitlement, rules.currency), default=0)
    if least > grant.budget_minor:
        yield PROGRAMME_BUDGET_SHORT.finding(
            document.place(("grant", "budget")),
            budget=format_amount(grant.budget_minor, currency),
            least=format_amount(least, currency),
            places=places,
            currency=currency,
        )


def _thresholds(programme: Programme, document: Document) -> Iterator[Finding]:
    above, approvers = Decimal(-1), programme.approvals.approvers
    for at, threshold in enumerate(programme.approvals.thresholds):
        if threshold.above <= above or threshold.approvers <= approvers:
            yield PROGRAMME_THRESHOLDS.finding(
                document.place(("approvals", "thresholds", at)),
                above=threshold.above,
                approvers=threshold.approvers,
            )
        above, approvers = threshold.above, threshold.approvers
