"""An overlap policy is a file: read strictly, all problems at once, hashed by what it means."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from eligibility.duplicates.overlap import Basis, Overlap, Reason, Relation, Strength, Verdict
from eligibility.duplicates.overlap.explaining import explained, told
from eligibility.duplicates.overlap.policy import DEFAULT, SHIPPED, Policy, check, in_force, load
from eligibility.duplicates.overlap.sets import VERDICT_OF
from eligibility.rules.pack import canonical
from ledgers.problems import Refusal

TEXT = DEFAULT.read_text(encoding="utf-8")
POLICY = load(DEFAULT)
STOPPED = Overlap(
    "theirs", "ours", Basis.SAME_HOUSEHOLD, Strength.CONFIRMED, 3, 4, Relation.SAME,
    date(2026, 3, 1), date(2026, 3, 31), Verdict.STOP, Reason.SAME_NEED, None, False, "e" * 64,
)  # fmt: skip


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_policies_have_no_problem(path: Path) -> None:
    assert check(path) == ()


def test_layout_changes_no_hash_and_a_word_does(tmp_path: Path) -> None:
    same = load(written(tmp_path, ("# A referral", "# Another comment\n\n#")))
    other = load(written(tmp_path, ("window_days: 90", "window_days: 60")))
    assert same.policy_hash == POLICY.policy_hash
    assert other.policy_hash != POLICY.policy_hash


def test_a_policy_kept_as_its_canonical_form_is_the_same_policy() -> None:
    kept = Policy.model_validate(json.loads(canonical(POLICY)), strict=False)
    assert kept == POLICY
    assert kept.policy_hash == POLICY.policy_hash


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("food: complementary, shelter: same", "shelter: same", "overlap_need_missing", "shelter"),
        (
            "basic-needs: {basic-needs: same}", "basic-needs: {basic-needs: same, food: same}",
            "overlap_need_twice", "food",
        ),
        ("by_need: {winter: 180", "by_need: {leisure: 180", "overlap_need_strange", "leisure"),
        ("confidential_needs: [protection]", "confidential_needs: [secret]",
         "overlap_need_strange", "secret"),
        ("needs: [basic-needs, food]", "needs: [food, food]", "overlap_ceiling_twice", "food"),
        ("programmes: [essn, c-essn]", "programmes: [essn]", "overlap_programmes_few", "one"),
        ("USD: {2026-01-01: 43.00", "TRY: {2026-01-01: 43.00", "overlap_rate_wrong", "same"),
        ("USD: {2026-01-01: 43.00", "USD: {2026-01-01: 0", "overlap_rate_wrong", "zero"),
        ("from: 2026-01-01\n", "from: 2026-01-01\n    to: 2025-01-01\n", "overlap_days_turned",
         "2025-01-01"),
        ("people: 2\n  reasons", "people: 1\n  reasons", "field_wrong", "override.people"),
        ("food: same}", "food: often}", "field_wrong", "needs.food.food"),
        ("precedence: [Türk Kızılay]", "precedence: [A, A]", "field_wrong", "named twice"),
        ("per_person: {2026-01-01: 1500.00}", "per_person: {2026-01-01: 1500.001}",
         "amount_too_precise", "1500.001"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_in_its_place(
    tmp_path: Path, old: str, new: str, code: str, said: str
) -> None:
    findings = check(written(tmp_path, (old, new)))
    assert code in {finding.problem.code for finding in findings}
    assert any(said in str(finding) and finding.place.row for finding in findings)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path, ("programmes: [essn, c-essn]", "programmes: [essn]"),
        ("by_need: {winter: 180", "by_need: {leisure: 180"),
    )  # fmt: skip
    with pytest.raises(Refusal, match=r"overlap_policy_refused: .* 2 problems") as refused:
        load(path)
    assert len(refused.value.findings) == 2


def test_matrix_is_read_from_both_sides() -> None:
    assert POLICY.relation("food", "basic-needs") is Relation.PARTIAL
    assert POLICY.relation("basic-needs", "food") is Relation.PARTIAL


def test_values_are_in_force_from_their_day_until_the_next() -> None:
    rates = POLICY.rates["TRY"]["USD"]
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 2, 28), date(2026, 3, 1)]
    assert [str(in_force(rates, day)) for day in days] == ["None", "43.00", "43.00", "44.25"]


def test_deadline_passes_over_the_weekend_and_not_in_an_emergency() -> None:
    friday = datetime(2026, 3, 6, 15, tzinfo=UTC)
    assert POLICY.hold.until(friday) == datetime(2026, 3, 13, 15, tzinfo=UTC)
    assert POLICY.hold.until(friday, emergency=True) == datetime(2026, 3, 8, 15, tzinfo=UTC)


def test_verdict_is_explained_sentence_by_sentence() -> None:
    assert list(explained(STOPPED, POLICY)) == [
        "It is certain that both are for one household (3 of 4 people in common).",
        "Both count from 2026-03-01 to 2026-03-31; their needs are same.",
        "They meet the same need in the same period, and the first one stands.",
        "The second is not paid; this never lapses.",
        f"Policy tr-cash, {POLICY.policy_hash[:12]}.",
    ]
    capped = replace(
        STOPPED, verdict=Verdict.CAP, reason=Reason.CEILING_NEARLY_FULL, payable_minor=150000
    )
    assert "The second is paid up to the ceiling: 1500.00 TRY." in explained(capped, POLICY, "TRY")
    waits = replace(
        STOPPED, strength=Strength.POSSIBLE, verdict=Verdict.HOLD, lapses=True, last_day=None,
        reason=Reason.MAY_BE_THE_SAME,
    )  # fmt: skip
    sentences = list(explained(waits, POLICY))
    assert sentences[0].startswith("It may be that")
    assert sentences[1].startswith("Both count from 2026-03-01 on, without an end")
    assert sentences[4] == "Without a decision it is paid after 5 working days."


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_verdict_and_words(reason: Reason) -> None:
    overlap = replace(STOPPED, reason=reason, verdict=VERDICT_OF[reason])
    assert len(list(explained(overlap, POLICY, "TRY"))) == 5
    assert (told(overlap, POLICY) is None) == (
        overlap.verdict in {Verdict.REPORT, Verdict.FLAG, Verdict.CLEAR}
    )


def test_household_is_told_why_and_that_it_may_object() -> None:
    words = told(STOPPED, POLICY)
    assert words is not None
    assert words.en.endswith("You may object within 30 days; at least 2 people will look at it.")
    assert "30 gün" in words.tr
    assert "30" in words.ar
