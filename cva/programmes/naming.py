"""Which pack a person means: a file, a pack that comes with the program, or a published version.

* a path: a pack file, or a programme file with its rules;
* `essn-2023`: a pack that comes with the program;
* `essn-2023@2`: the second version of it that two people published here.
"""

import re
from collections.abc import Callable
from pathlib import Path

from eligibility.packs import shipped_packs
from eligibility.rules.checked import load_pack
from eligibility.rules.pack import RulePack
from ledgers.problems import Answer, Problem

PACK_UNKNOWN = Problem(
    "pack_unknown",
    "There is no pack {pack}.",
    "Name a file, a pack that comes with the program ({known}), or a published one as code@2.",
    Answer.NOT_FOUND,
)

PUBLISHED = re.compile(r"(?P<code>[a-z][a-z0-9-]{1,40})@(?P<version>[1-9][0-9]{0,5})", re.ASCII)
Published = Callable[[str, int], RulePack]


def none_published(code: str, version: int) -> RulePack:
    """Refuse a published version where there is no database to look it up in."""
    raise unknown(f"{code}@{version}")


def pack_named(
    name: str, published: Published = none_published, read: Callable[[Path], RulePack] = load_pack
) -> RulePack:
    """Return the pack that `name` means.

    Arguments: `published` looks a version up; `read` reads a file. Raises `pack_unknown` and what
    these two raise.
    """
    version = PUBLISHED.fullmatch(name)
    if version is not None:
        return published(version["code"], int(version["version"]))
    shipped = shipped_packs().get(name)
    if shipped is not None:
        return load_pack(shipped)
    path = Path(name)
    if not path.is_file():
        raise unknown(name)
    return read(path)


def unknown(name: str) -> Exception:
    """Return the refusal of a name that means no pack."""
    return PACK_UNKNOWN.refusal(pack=name, known=", ".join(shipped_packs()))
