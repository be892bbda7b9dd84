"""What people decide beside the rules says why, and where that is written down.

Years later the household asks, and so does an auditor: a decision that nobody gave a reason for is
not taken.
"""

from ledgers.problems import Answer, Problem

SAID_NOTHING = Problem(
    "said_nothing",
    "The {what} is empty.",
    "Say it in a few words that somebody else understands next year.",
    Answer.USAGE,
)


def require_said(**said: str) -> None:
    """Refuse an empty text; each is named as people know it. Raises `said_nothing`."""
    for what, text in said.items():
        if not text.strip():
            raise SAID_NOTHING.refusal(what=what)
