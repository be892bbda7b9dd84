"""The keys of a whole name: how it is written, its skeleton, its known name, its vowels.

Decides which names are *known* to be one in spite of their spelling, or two in spite of it: the
variant table (`variants.csv`) lists common names with the spellings that letters alone do not
bring together (Gamal and Cemal, Ramazan and Ramadan, Hatice and Khadija) and, for names whose
skeletons collide (Muhammad, Mahmud; Hasan, Husayn), keeps them apart. `candidates` names the entry
whose skeleton is used to find candidates: in Türkiye Mehmet and Muhammed are two given names, and
still one clerk writes the one for the other.

A field with one name in two scripts (`محمد Muhammad`) is read as one name.

>>> keys_of("Mehmet Emin").skeleton == keys_of("محمد أمين").skeleton
True
>>> keys_of("Mehmet").known == keys_of("محمد").known, keys_of("Gamal").known
(False, 'jamal')

Sources: hand-made for this project from spellings in Turkish, Levantine, Maghrebi and Persian
use; no list of real people was used.
"""

import csv
import io
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from eligibility.duplicates.names import Part, Script, parts
from eligibility.duplicates.skeletons import (
    SLOT_BITS,
    SLOTS_MAX,
    Vowels,
    second_skeleton_of,
    skeleton_of,
    vowels_of,
)

PARTS_KEPT = 65_536  # parts come again and again; memory stays bounded
_PLAIN = str.maketrans("çğıöşüâàáäîíïûúóéèêëñ", "cgiosuaaaaiiiuuoeeeen")


@dataclass(frozen=True, slots=True)
class Known:
    """An entry of the variant table: a name, and the skeleton its candidates are found by."""

    name: str
    skeleton: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What is compared of a name.

    `written` is the name in small plain letters of its script, parts in their order; `skeleton`
    and `second` its consonants (a space between parts), `first` and `last` those of one part;
    `known` the names of the variant table, None where a part is not in it; `vowels` what its
    spelling says and allows.
    """

    written: str
    script: Script
    skeleton: str
    second: str | None
    first: str
    last: str
    known: str | None
    vowels: Vowels


@cache
def variants() -> dict[str, Known]:
    """Return the variant table: plain letters of a part → its entry."""
    text = resources.files(__package__).joinpath("variants.csv").read_text(encoding="utf-8")
    table: dict[str, Known] = {}
    for row in csv.DictReader(io.StringIO(text)):
        entry = Known(row["name"], skeleton_of(row["candidates"], Script.LATIN))
        table.update(dict.fromkeys(row["spellings"].split(), entry))
    return table


def keys_of(text: str) -> Keys | None:
    """Return the keys of the name in `text`, None where there is no name in it."""
    read = tuple(_keys_of_part(part) for part in parts(text))
    if not read:
        return None
    kept = _once(read) if len(read) > 1 else list(read)
    seconds = [key.second or key.skeleton for key in kept]
    skeletons = [key.skeleton for key in kept]
    return Keys(
        written=" ".join(key.written for key in kept),
        script=kept[0].script,
        skeleton=" ".join(skeletons),
        second=None if seconds == skeletons else " ".join(seconds),
        first=skeletons[0],
        last=skeletons[-1],
        known=" ".join(k.known for k in kept if k.known) if all(k.known for k in kept) else None,
        vowels=_combined(kept),
    )


@dataclass(frozen=True, slots=True)
class _PartKeys:
    written: str
    script: Script
    skeleton: str
    second: str | None
    known: str | None
    vowels: Vowels


@lru_cache(maxsize=PARTS_KEPT)
def _keys_of_part(part: Part) -> _PartKeys:
    written = part.letters.translate(_PLAIN)
    entry = variants().get(written)
    own = skeleton_of(part.letters, part.script)
    return _PartKeys(
        written=written,
        script=part.script,
        skeleton=entry.skeleton if entry else own,
        second=second_skeleton_of(part.letters, part.script),
        known=entry.name if entry else None,
        vowels=vowels_of(part.letters, part.script)
        if entry is None or entry.skeleton == own
        else _unheard(entry.skeleton, part.script),
    )


def _unheard(skeleton: str, script: Script) -> Vowels:
    """Return vowels that say nothing: the spelling's own slots are not those of `skeleton`."""
    everything = (1 << SLOT_BITS * min(len(skeleton) + 1, SLOTS_MAX)) - 1
    return Vowels(0, everything, 0, everything, script)


def _once(read: tuple[_PartKeys, ...]) -> list[_PartKeys]:
    """Return the parts without the second spelling of one in another script."""
    kept: list[_PartKeys] = []
    for key in read:
        twin = any(
            key.script is not other.script
            and (key.known or key.skeleton) == (other.known or other.skeleton)
            for other in kept
        )
        if not twin:
            kept.append(key)
    return kept


def _combined(kept: list[_PartKeys]) -> Vowels:
    """Return the vowels of all parts, slot after slot, as far as they fit."""
    if len(kept) == 1:
        return kept[0].vowels
    has = keeps = says = allows = shift = 0
    for key in kept:
        slots = len(key.skeleton) + 1
        if shift // SLOT_BITS + slots > SLOTS_MAX:
            break
        vowels = key.vowels
        has |= vowels.has << shift
        keeps |= vowels.keeps << shift
        says |= vowels.says << shift
        allows |= vowels.allows << shift
        shift += slots * SLOT_BITS
    return Vowels(has, keeps, says, allows, kept[0].script)


def deviations() -> list[str]:
    """Return the conformance vectors (`vectors.csv`) whose keys come out otherwise here.

    Two agencies whose keys deviate would not find the same people; an exchange asks this first.
    """
    text = resources.files(__package__).joinpath("vectors.csv").read_text(encoding="utf-8")
    found = []
    for row in csv.DictReader(io.StringIO(text, newline="")):
        keys = keys_of(row["name"])
        here = keys and [
            keys.written, keys.script.value, keys.skeleton, keys.second or "", keys.known or "",
            str(keys.vowels.has), str(keys.vowels.says),
        ]  # fmt: skip
        if here != list(row.values())[1:]:
            found.append(row["name"])
    return found
