"""From a scenario file to a scenario that fits its rule packs, with every problem in its place.

What a single field can be is said in `model`; here is what has to fit together: days, rates,
grants, overlays, what a question needs. A pack is a file beside the scenario or comes with the
program. What a pack asks for and a scenario cannot do is refused, never left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from eligibility.entitlements import Amount, exact_problem
from eligibility.packs import shipped_packs
from eligibility.rules.checked import load_pack, read_text, refused, rules_of
from eligibility.rules.document import Document, YamlPath, found, read_document, read_model
from eligibility.rules.pack import Parameter, RulePack
from eligibility.selection import GRANT
from ledgers.problems import NOWHERE, Finding, Place, Problem, Refusal
from simulations.distributions import Distribution
from simulations.frontier import FRONTIER_MONTHS
from simulations.months import month_after
from simulations.projection.prices import market, stressed
from simulations.randomness import Randomness
from simulations.scenario.model import MONTHS_MAX, Change, Grant, Scenario

SCENARIO_REFUSED = Problem(
    "scenario_refused",
    "The scenario has {problems:problem|problems}; nothing was computed.",
    "Correct every place that is listed, then run it again.",
)
SCENARIO_HORIZON = Problem(
    "scenario_horizon",
    "A horizon of {months} months is longer than anything known today lasts.",
    f"Give {MONTHS_MAX} months or less.",
)
SCENARIO_START = Problem(
    "scenario_start", "The start {on} is not the first day of a month.", "Write {first}."
)
SCENARIO_PARAMETER_UNKNOWN = Problem(
    "scenario_parameter_unknown",
    "The pack {pack} has no parameter {parameter}; it has: {known}.",
    "Name one of them, or leave the change out.",
)
SCENARIO_PARAMETER_VALUE = Problem(
    "scenario_parameter_value",
    "The parameter {parameter} is of type {kind} and cannot be {value}.",
    "Write a value as the pack writes it.",
)
SCENARIO_OVERLAY_OUTSIDE = Problem(
    "scenario_overlay_outside",
    "The change of {parameter} on {on} lies outside the days it could matter: {first} to {last}.",
    "Date it within these days: after the parameter's first value, before the scenario's end.",
)
SCENARIO_RATE_UNFIT = Problem(
    "scenario_rate_unfit",
    "The {field} could become {value}; it lies between {least} and {most}.",
    "Give a number or a distribution that stays within (a normal one takes least and most).",
)
SCENARIO_GRANT_WINDOW = Problem(
    "scenario_grant_window",
    "The grant {grant} ends on {last}, before it begins on {first}.",
    "Correct the two days.",
)
SCENARIO_GRANT_OUTSIDE = Problem(
    "scenario_grant_outside",
    "The grant {grant} ({first} to {last}) cannot pay in any month of the scenario.",
    "Correct its days or its lead, or leave it out.",
)
SCENARIO_TWICE = Problem(
    "scenario_twice", "The code {code} is used twice.", "Give each of them a code of its own."
)
SCENARIO_LACKS = Problem(
    "scenario_lacks",
    "The question {question} cannot be answered without {what}.",
    "Add {what} to the scenario.",
)
SCENARIO_CURRENCY = Problem(
    "scenario_currency",
    "The pack pays in {currency}; projections are made in TRY, with rates into other currencies.",
    "Use a pack that pays in TRY.",
)
SCENARIO_FACT_UNKNOWN = Problem(
    "scenario_fact_unknown",
    "The pack {pack} has no fact {fact}; it has: {known}.",
    "Name a fact of the base pack.",
)
SCENARIO_PACK_AFTER = Problem(
    "scenario_pack_after",
    "The pack {pack} is decided after {earlier}, from the same applications; a scenario runs each"
    " pack by itself.",
    "Run a copy of the pack without `after`: whoever {earlier} would take is then counted here.",
)
SCENARIO_GRANT_NEEDED = Problem(
    "scenario_grant_needed",
    "The pack {pack} selects within the grant's budget, and the scenario has no grant.",
    "Add the grant, or give the course a selection of its own with places or a budget.",
)

PackOf = Callable[[str], RulePack]
NEEDS: Mapping[str, tuple[str, ...]] = {
    "cost": ("grants",),
    "rule_change": ("variants",),
    "frontier": ("frontier", "grants"),
    "shock": ("stress", "grants"),
    "expansion": ("variants", "grants"),
    "comparison": ("variants",),
    "targeting": ("targeting", "variants"),
    "backtest": ("stress",),
}


@dataclass(frozen=True, slots=True)
class Course:
    """One way of doing things with its rules: the base (code `base`) or a variant."""

    code: str
    pack: RulePack


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario that fits its packs; `courses` has the base first, then the variants.

    `packs` are as they were written, without overlays, one for each course.
    """

    scenario: Scenario
    courses: tuple[Course, ...]
    packs: tuple[RulePack, ...]


def load_scenario(path: Path, programme_pack: PackOf) -> Loaded:
    """Return the scenario in the file at `path`, fitted to its packs.

    `programme_pack` gives the pack of a programme by its code. Raises `scenario_refused` with every
    finding, and what reading a pack raises.
    """
    document, findings = read_document(read_text(path), path.name)
    scenario = None
    if document is not None:
        scenario, wrong = read_model(document, document.values, Scenario)
        findings += wrong
    if scenario is None or findings:
        raise refused(SCENARIO_REFUSED, findings)
    packs = [_base_pack(scenario, path.parent, programme_pack)]
    packs += [
        _pack_at(path.parent, variant.pack) if variant.pack else packs[0]
        for variant in scenario.variants
    ]
    return fitted(scenario, packs, document)


def fitted(
    scenario: Scenario, packs: Sequence[RulePack], document: Document | None = None
) -> Loaded:
    """Return the scenario with the packs of its courses, base first, each with its overlay.

    `packs` are as written, without overlays. Raises `scenario_refused` with every finding.
    """
    fitting = _Fitting(scenario, tuple(packs), document)
    courses = fitting.courses_found = tuple(fitting.courses())
    fitting.check()
    if fitting.findings:
        raise refused(SCENARIO_REFUSED, tuple(fitting.findings))
    return Loaded(scenario, courses, tuple(packs))


def _base_pack(scenario: Scenario, folder: Path, programme_pack: PackOf) -> RulePack:
    if scenario.rules.programme is not None:
        return programme_pack(scenario.rules.programme)
    return _pack_at(folder, str(scenario.rules.pack))


def _pack_at(folder: Path, name: str) -> RulePack:
    """Return the pack in a file beside the scenario, or the one of that name that comes with us."""
    return load_pack(shipped_packs().get(name) or folder / name)


class _Fitting:
    """One walk over one scenario that collects findings."""

    def __init__(
        self, scenario: Scenario, packs: tuple[RulePack, ...], document: Document | None
    ) -> None:
        self.scenario = scenario
        self.packs = packs
        self.document = document
        self.findings: list[Finding] = []
        self.courses_found: tuple[Course, ...] = ()

    def report(self, problem: Problem, path: YamlPath, **facts: object) -> None:
        self.findings.append(found(problem, self.place(path), facts))

    def place(self, path: YamlPath) -> Place:
        if self.document is None:
            return Place(field=".".join(map(str, path))) if path else NOWHERE
        return self.document.place(path)

    # --- rules -------------------------------------------------------------------------------

    def courses(self) -> Iterator[Course]:
        rules = self.scenario.rules
        base = self.overlaid(self.packs[0], rules.overlay, ("rules",))
        own = {"selection": rules.selection, "entitlement": rules.entitlement}
        base = self.checked(base, own, ("rules",))
        yield Course("base", base)
        for at, variant in enumerate(self.scenario.variants):
            path: YamlPath = ("variants", at)
            start = base if variant.pack is None else self.packs[at + 1]
            pack = self.overlaid(start, variant.overlay, path)
            own = {"selection": variant.selection, "entitlement": variant.entitlement}
            yield Course(variant.code, self.checked(pack, own, path))

    def checked(self, pack: RulePack, own: Mapping[str, object], path: YamlPath) -> RulePack:
        """Return the pack with what is its course's own; every problem of it is a finding here."""
        update = {name: value for name, value in own.items() if value is not None}
        changed = pack.model_copy(update=update)
        try:
            rules_of(changed)
        except Refusal as refusal:
            self.findings += [
                found(finding.problem, self.place(path), {**finding.facts, "value": finding.value})
                for finding in refusal.findings
            ]
        return changed

    def overlaid(self, pack: RulePack, overlay: tuple[Change, ...], path: YamlPath) -> RulePack:
        parameters = dict(pack.parameters)
        for at, change in enumerate(overlay):
            where: YamlPath = (*path, "overlay", at)
            parameter = parameters.get(change.parameter)
            if parameter is None:
                known = ", ".join(sorted(parameters)) or "none"
                self.report(
                    SCENARIO_PARAMETER_UNKNOWN, (*where, "parameter"), pack=pack.code,
                    parameter=change.parameter, known=known,
                )  # fmt: skip
                continue
            self.check_days(parameter, change, (*where, "from"))
            parameters[change.parameter] = self.changed(parameter, change, (*where, "value"))
        return pack.model_copy(update={"parameters": parameters})

    def check_days(self, parameter: Parameter, change: Change, path: YamlPath) -> None:
        first, end = min(parameter.values), month_after(self.scenario.start, self.horizon)
        if not first <= change.first_day < end:
            self.report(
                SCENARIO_OVERLAY_OUTSIDE, path, parameter=change.parameter, on=change.first_day,
                first=first, last=end,
            )  # fmt: skip

    def changed(self, parameter: Parameter, change: Change, path: YamlPath) -> Parameter:
        values = {**parameter.values, change.first_day: change.value}
        content = {"type": parameter.type, "source": parameter.source, "values": values}
        try:
            return Parameter.model_validate(content)
        except ValidationError:
            self.report(
                SCENARIO_PARAMETER_VALUE, path, parameter=change.parameter, kind=parameter.type,
                value=change.value,
            )  # fmt: skip
            return parameter

    # --- the rest ----------------------------------------------------------------------------

    @property
    def horizon(self) -> int:
        return min(self.scenario.months, MONTHS_MAX)

    def check(self) -> None:
        scenario = self.scenario
        if scenario.months > MONTHS_MAX:
            self.report(SCENARIO_HORIZON, ("months",), months=scenario.months)
        if scenario.start.day != 1:
            first = scenario.start.replace(day=1)
            self.report(SCENARIO_START, ("start",), on=scenario.start, first=first)
        self.check_currency()
        self.check_selections()
        self.check_question()
        self.check_codes()
        self.check_rates()
        self.check_grants()
        self.check_exchange()
        self.check_facts()

    def check_currency(self) -> None:
        for pack in self.packs:
            if pack.currency != "TRY":
                self.report(SCENARIO_CURRENCY, ("rules",), currency=pack.currency)

    def check_selections(self) -> None:
        """Refuse what a pack asks for and a scenario cannot do, rather than leave it out."""
        paths: list[YamlPath] = [("rules",)]
        paths += [("variants", at) for at in range(len(self.scenario.variants))]
        for path, course in zip(paths, self.courses_found, strict=True):
            pack = course.pack
            if pack.after:
                earlier = " and ".join(pack.after)
                self.report(SCENARIO_PACK_AFTER, path, pack=pack.code, earlier=earlier)
            if pack.selection.budget == GRANT and not self.scenario.grants:
                self.report(SCENARIO_GRANT_NEEDED, path, pack=pack.code)

    def check_question(self) -> None:
        scenario = self.scenario
        given = {
            "variants": scenario.variants,
            "grants": scenario.grants,
            "frontier": scenario.frontier,
            "targeting": scenario.targeting,
            "stress": scenario.prices.stress,
        }
        for what in NEEDS[scenario.question]:
            if not given[what]:
                self.report(SCENARIO_LACKS, ("question",), question=scenario.question, what=what)
        months, most = scenario.frontier.months if scenario.frontier else 0, scenario.months
        if months > most:
            self.report(FRONTIER_MONTHS, ("frontier", "months"), months=months, most=most)

    def check_codes(self) -> None:
        lists: tuple[tuple[YamlPath, Sequence[str]], ...] = (
            (("variants",), ["base", *(variant.code for variant in self.scenario.variants)]),
            (("grants",), [grant.code for grant in self.scenario.grants]),
            (("prices", "stress"), [stress.code for stress in self.scenario.prices.stress]),
        )
        for path, codes in lists:
            for code in sorted({code for code in codes if codes.count(code) > 1}):
                self.report(SCENARIO_TWICE, path, code=code)

    def check_rates(self) -> None:
        caseload, costs = self.scenario.caseload, self.scenario.costs
        inflation, jumps = self.scenario.prices.inflation, self.scenario.prices.exchange.jumps
        shares: list[tuple[YamlPath, Distribution, int]] = [
            (("caseload", "arrivals"), caseload.arrivals, 1),
            (("caseload", "exits"), caseload.exits, 1),
            (("caseload", "take_up"), caseload.take_up, 1),
            (("caseload", "recertification_loss"), caseload.recertification_loss, 1),
            (("costs", "fee_share"), costs.fee_share, 1),
            (("costs", "failed"), costs.failed, 1),
            (("costs", "returned"), costs.returned, 1),
            (("prices", "inflation", "passed_on"), inflation.passed_on, 2),
        ]
        if inflation.annual is not None:
            shares.append((("prices", "inflation", "annual"), inflation.annual, 100))
        if jumps is not None:
            at: YamlPath = ("prices", "exchange", "jumps")
            shares += [((*at, "per_year"), jumps.per_year, 12), ((*at, "share"), jumps.share, 10)]
        for path, chance, most in shares:
            least_value, most_value = chance.quantile(np.array([0.0, 1.0]))
            wrong = least_value if least_value < 0 else most_value
            if least_value < 0 or most_value > most:
                self.report(
                    SCENARIO_RATE_UNFIT, path, field=path[-1], value=f"{wrong:.4g}", least=0,
                    most=most,
                )  # fmt: skip

    def check_grants(self) -> None:
        months = [month_after(self.scenario.start, count) for count in range(self.horizon)]
        for at, grant in enumerate(self.scenario.grants):
            path: YamlPath = ("grants", at)
            self.check_amounts(grant, path)
            days = {"grant": grant.code, "first": grant.first_day, "last": grant.last_day}
            if grant.last_day < grant.first_day:
                self.report(SCENARIO_GRANT_WINDOW, (*path, "to"), **days)
            elif not any(map(grant.pays_in, months)):
                self.report(SCENARIO_GRANT_OUTSIDE, (*path, "to"), **days)

    def check_amounts(self, grant: Grant, path: YamlPath) -> None:
        for name in ("amount", "ceiling_month"):
            amount: Amount | None = getattr(grant, name)
            problem = exact_problem(amount, grant.currency) if amount is not None else None
            if problem is not None:
                self.report(problem.problem, (*path, name), **problem.facts)

    def check_exchange(self) -> None:
        """Try each path with one draw: what cannot be is said before anything is computed."""
        scenario = self.scenario.model_copy(update={"months": self.horizon})
        try:
            market(scenario, Randomness(0), 1)
        except Refusal as refusal:
            self.report(refusal.problem, ("prices", "exchange"), **refusal.facts)
            return
        for at, stress in enumerate(scenario.prices.stress):
            try:
                stressed(scenario, stress)
            except Refusal as refusal:
                self.report(refusal.problem, ("prices", "stress", at), **refusal.facts)

    def check_facts(self) -> None:
        if self.scenario.targeting is None:
            return
        facts = self.packs[0].facts
        for name in self.scenario.targeting.expenditure.effects:
            if name not in facts:
                path: YamlPath = ("targeting", "expenditure", "effects", name)
                known = ", ".join(sorted(facts)) or "none"
                self.report(
                    SCENARIO_FACT_UNKNOWN, path, pack=self.packs[0].code, fact=name, known=known
                )
