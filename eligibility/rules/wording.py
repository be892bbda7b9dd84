"""What is wrong with a value of a file, in words for the person who wrote the file.

pydantic finds every value that does not fit and names the kind of the misfit; its own sentences are
for programmers ("should be a valid dictionary or instance of Label"). Here each kind has a phrase
that says what to write instead. A message of our own validators is taken as it is.

Vocabulary: a *misfit* is one error of a pydantic `ValidationError`.

Source: pydantic 2, "Validation errors" (the kinds and what their contexts hold).
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Context = Mapping[str, object]

# What a pattern's character classes are called, in the order in which they are said.
_CHARACTERS = {
    "a-z": "small letters a to z", "A-Z": "capital letters A to Z", "0-9": "digits",
    "-]": "hyphens", "_": "underscores between them",
}  # fmt: skip
_LENGTH = re.compile(r"\{(?P<least>[0-9]+)(?:,(?P<most>[0-9]+))?\}")

_A_BLOCK = "write a block of named fields, indented below it"
_A_LIST = "write a list, such as [first, second]"
_A_DAY = "write a day, such as 2026-01-31"
_A_NUMBER = "write a whole number, such as 2, without a point and without quotes"
_AN_AMOUNT = "write an amount, such as 1500.00"
_PHRASES = {
    "model_type": _A_BLOCK,
    "model_attributes_type": _A_BLOCK,
    "dict_type": _A_BLOCK,
    "tuple_type": _A_LIST,
    "list_type": _A_LIST,
    "date_type": _A_DAY,
    "date_parsing": _A_DAY,
    "date_from_datetime_parsing": _A_DAY,
    "date_from_datetime_inexact": _A_DAY,
    "int_type": _A_NUMBER,
    "int_parsing": _A_NUMBER,
    "int_from_float": _A_NUMBER,
    "decimal_type": _AN_AMOUNT,
    "decimal_parsing": _AN_AMOUNT,
    "bool_type": "write true or false, without quotes",
    "bool_parsing": "write true or false, without quotes",
    "string_type": "write text, in quotes where it looks like a number, a day, true or false",
    "missing": "it is missing; add it to the block that starts here",
    "extra_forbidden": "there is no such field; check the spelling, or remove it",
}
_SENTENCES: dict[str, Callable[[Context], str]] = {
    "literal_error": lambda context: _one_of(str(context["expected"])),
    "enum": lambda context: _one_of(str(context["expected"])),
    "string_pattern_mismatch": lambda context: _made_of(str(context["pattern"])),
    "string_too_short": lambda context: (
        "write something here: it is empty"
        if context["min_length"] == 1
        else f"write at least {context['min_length']} characters"
    ),
    "string_too_long": lambda context: f"write at most {context['max_length']} characters",
    "too_short": lambda context: f"give at least {context['min_length']} of them",
    "too_long": lambda context: f"give at most {context['max_length']} of them",
    "greater_than_equal": lambda context: f"write {context['ge']} or more",
    "greater_than": lambda context: f"write more than {context['gt']}",
    "less_than_equal": lambda context: f"write {context['le']} or less",
    "less_than": lambda context: f"write less than {context['lt']}",
    "union_tag_not_found": lambda context: f"give the field {_bare(context['discriminator'])}",
    "union_tag_invalid": lambda context: (
        f"write one of {_bare(context['expected_tags'])} as {_bare(context['discriminator'])}"
    ),
    "value_error": lambda context: _own(str(context["error"])),
}


def plain_reason(misfit: "ErrorDetails", model: type[BaseModel]) -> str:
    """Return what to write where `misfit` is, without a full stop.

    `misfit` comes from `errors()` with its context, `model` is what was to be read.
    """
    kind, context = misfit["type"], misfit.get("ctx", {})
    if kind == "model_type":
        fields = _fields_of(model, str(context.get("class_name", "")))
        return f"{_A_BLOCK}: {', '.join(fields)}" if fields else _A_BLOCK
    if kind in _SENTENCES:
        return _SENTENCES[kind](context)
    return _PHRASES.get(kind, "write a value of the kind that an example file has here")


def _fields_of(model: type[BaseModel], name: str) -> list[str]:
    """Return the fields of the block that the class `name` within `model` describes."""
    schema = model.model_json_schema()
    block = schema if model.__name__ == name else schema.get("$defs", {}).get(name, {})
    return list(block.get("properties", {}))


def _bare(quoted: object) -> str:
    return str(quoted).replace("'", "")


def _one_of(expected: str) -> str:
    choices = _bare(expected)
    return f"write one of {choices}" if " or " in choices else f"write {choices}"


def _made_of(pattern: str) -> str:
    kinds = [words for mark, words in _CHARACTERS.items() if mark in pattern]
    phrase = f"write it with {_listed(kinds)} only"
    if match := _LENGTH.search(pattern):
        before = pattern[: match.start()].count("[") - 1
        least = int(match["least"]) + before
        most = int(match["most"] or match["least"]) + before
        phrase += f", {least if least == most else f'{least} to {most}'} characters"
    first = re.match(r"\^\[([^\]]+)\]\[", pattern)
    if first and "0-9" not in first[1]:
        phrase += ", the first one a letter"
    return phrase


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _own(message: str) -> str:
    return (message[:1].lower() + message[1:]).rstrip(".")
