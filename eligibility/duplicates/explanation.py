"""Why a pair has its score: pieces that add up, in words, without any value compared.

Decides nothing: it reads back what linkage wrote. A piece of the household shows that it counts
under the cap, the cap shows what it took off, and the pieces add up to the score.
"""

from collections.abc import Mapping

from eligibility.duplicates.model import NO_CAP_BITS, Model
from eligibility.duplicates.shapes import BITS, LEVEL, Band, Explanation, Group, Piece

BLIND = "two records taken blindly"
CAPPED = "household facts above {cap:g} bits do not count"
NOT_CAPPED = "nothing taken off: the people of this file share no households"


def explain(row: Mapping[str, object], model: Model) -> Explanation:
    """Return the explanation of a `row` of pairs made with `model`."""
    pieces = [
        Piece("prior", BLIND, Group.PRIOR, _number(row[f"{BITS}prior"])),
        *(
            Piece(fact.name, str(row[f"{LEVEL}{fact.name}"]), fact.group,
                  _number(row[f"{BITS}{fact.name}"]))
            for fact in model.facts
        ),
        Piece("cap", _cap(model), Group.CAP, _number(row[f"{BITS}cap"])),
    ]  # fmt: skip
    return Explanation(
        id_l=str(row["id_l"]),
        id_r=str(row["id_r"]),
        score=_number(row["score"]),
        band=Band(str(row["band"])),
        pieces=tuple(pieces),
        model=model.digest,
        shared_id=_text(row["shared_id"]),
        veto=_text(row["veto"]),
        contradiction=_text(row["contradiction"]),
    )


def _cap(model: Model) -> str:
    return NOT_CAPPED if model.cap >= NO_CAP_BITS else CAPPED.format(cap=model.cap)


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        message = f"a piece is no number: {type(value).__name__}"
        raise TypeError(message)
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)
