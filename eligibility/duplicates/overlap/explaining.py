"""A verdict in words: for the people who decide, and for the household that is told.

Deciders read what overlaps and by which rule of the policy; a household reads, in its own language,
why it is not paid now and that it may object. Neither names the other agency: whether that may be
said is for the two agencies to agree.

Vocabulary: as in `records`.
"""

from collections.abc import Iterator

from eligibility.duplicates.overlap.policy import Policy
from eligibility.duplicates.overlap.records import Basis, Overlap, Reason, Strength, Verdict
from eligibility.rules.pack import Label
from ledgers.money import format_amount

_BASIS = {
    Basis.SAME_PERSON: "both are for one person",
    Basis.SAME_HOUSEHOLD: "both are for one household ({shared} of {size} people in common)",
    Basis.MEMBER_OF_HOUSEHOLD: "one is for a person, the other for their household",
    Basis.SHARED_MEMBER: "the two households have {shared} of {size} people in common",
    Basis.INSTRUMENT: "the two households have a phone, an account or a card in common",
}
_VERDICT = {
    Verdict.STOP: "The second is not paid; this never lapses.",
    Verdict.HOLD: "The second waits for people to decide.",
    Verdict.CAP: "The second is paid up to the ceiling: {payable}.",
    Verdict.REPORT: "Both sides are told; nothing is stopped and nothing is taken back.",
    Verdict.FLAG: "It is noted on the payment instrument; nothing is stopped.",
    Verdict.CLEAR: "Both are paid.",
}
_REASON = {
    Reason.SAME_NEED: "They meet the same need in the same period, and the first one stands.",
    Reason.NEED_CONTAINED: "One need contains some of the other.",
    Reason.PROGRAMMES_EXCLUSIVE: "The two programmes exclude each other.",
    Reason.MAY_BE_THE_SAME: "Nobody has decided whether they are the same people.",
    Reason.MEMBER_SHARED: "Too few people are in both to make one household of two.",
    Reason.INSTRUMENT_SHARED: "A phone, an account or a card says nothing about who people are.",
    Reason.CEILING_FULL: "The household already has what the ceiling allows.",
    Reason.CEILING_NEARLY_FULL: "Only a part fits below the ceiling.",
    Reason.BELOW_CEILING: "Together they stay below the ceiling.",
    Reason.AMOUNT_UNKNOWN: "An amount is not known, so nobody can tell a top-up from a duplicate.",
    Reason.SIZE_UNKNOWN: "Nobody knows for how many people the ceiling is.",
    Reason.FAILED_MAY_BE_REPAID: "One of them failed and may be paid again.",
    Reason.BOTH_PAID: "Both were paid.",
    Reason.TIE: "Neither was committed before the other.",
    Reason.REISSUED: "The second replaces the first, which failed.",
    Reason.REFERRED: "One agency referred the household to the other.",
    Reason.COMPLEMENT_AGREED: "The two programmes agreed to go together.",
    Reason.OVERRIDDEN: "{people} people decided to pay all the same.",
    Reason.UNDER_APPEAL: "The household objects.",
    Reason.APPEAL_UPHELD: "The household objected, and was right.",
}
_TOLD = {
    Verdict.STOP: Label(
        en="You are not paid this time: your household already receives this kind of assistance"
        " for these days.",
        tr="Bu kez ödeme yapılmıyor: haneniz bu günler için bu tür bir yardımı zaten alıyor.",
        ar="لن يُدفع لكم هذه المرة: تتلقى أسرتكم بالفعل هذا النوع من المساعدة عن هذه الأيام.",
    ),
    Verdict.HOLD: Label(
        en="Your payment waits: we are checking whether you already receive this kind of"
        " assistance.",
        tr="Ödemeniz bekliyor: bu tür bir yardımı zaten alıp almadığınızı inceliyoruz.",
        ar="دفعتكم قيد الانتظار: نتحقق مما إذا كنتم تتلقون بالفعل هذا النوع من المساعدة.",
    ),
    Verdict.CAP: Label(
        en="You are paid less this time: together with other assistance your household reaches the"
        " most it can have.",
        tr="Bu kez daha az ödeniyor: diğer yardımlarla birlikte haneniz alabileceği en yüksek"
        " tutara ulaşıyor.",
        ar="ستتلقون مبلغاً أقل هذه المرة: مع المساعدات الأخرى تبلغ أسرتكم الحد الأقصى الممكن.",
    ),
}
_APPEAL = Label(
    en="You may object within {days} days; at least {people} people will look at it.",
    tr="{days} gün içinde itiraz edebilirsiniz; itirazınıza en az {people} kişi bakar.",
    ar="يمكنكم الاعتراض خلال {days} يوماً، وسينظر في اعتراضكم {people} أشخاص على الأقل.",
)


def explained(overlap: Overlap, policy: Policy, currency: str | None = None) -> Iterator[str]:
    """Yield the sentences that say why an overlap has its verdict.

    `currency` is that of the second record, for the amount that may be paid of it.
    """
    sure = "It is certain that" if overlap.strength is Strength.CONFIRMED else "It may be that"
    basis = _BASIS[overlap.basis].format(shared=overlap.shared, size=overlap.size)
    yield f"{sure} {basis}."
    until = f"to {overlap.last_day}" if overlap.last_day else "on, without an end"
    yield f"Both count from {overlap.first_day} {until}; their needs are {overlap.relation}."
    yield _REASON[overlap.reason].format(people=policy.override.people)
    payable = ""
    if overlap.payable_minor is not None and currency is not None:
        payable = f"{format_amount(overlap.payable_minor, currency)} {currency}"
    yield _VERDICT[overlap.verdict].format(payable=payable)
    if overlap.lapses:
        yield f"Without a decision it is paid after {policy.hold.working_days} working days."
    yield f"Policy {policy.policy}, {policy.policy_hash[:12]}."


def told(overlap: Overlap, policy: Policy) -> Label | None:
    """Return what the household is told, with its right to object; None where it is paid in full.

    Nothing is said of the agency or the programme of the other record.
    """
    words = _TOLD.get(overlap.verdict)
    if words is None:
        return None
    appeal = {
        language: text.format(days=policy.appeal.days, people=policy.appeal.people)
        for language, text in _APPEAL.model_dump().items()
    }
    return Label(
        tr=f"{words.tr} {appeal['tr']}",
        en=f"{words.en} {appeal['en']}",
        ar=f"{words.ar} {appeal['ar']}",
    )
