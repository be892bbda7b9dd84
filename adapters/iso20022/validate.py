"""Validity against the official schemas: hard for what we send, a recorded finding for what we get.

A quarter of real bank files are not valid against their own schema (masked IBANs, `BIC` where
`BICFI` belongs, elements out of order), so invalidity never stops the reading. Validity proves
little besides: a wrong control sum, an unknown currency or a bad IBAN are all valid.

Schemas are files beside this module (see `schemas/NOTICE`); a version without one is not checked.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import BinaryIO

from lxml import etree

from adapters.iso20022.stream import drop
from ledgers.problems import Finding, Place, Problem, Weight

SCHEMA_INVALID = Problem(
    "iso20022_schema_invalid",
    "The file is not valid against {schema}: {element} breaks the rule {rule} ({count} times).",
    "Nothing to do where the figures tie; otherwise ask the bank to correct its files.",
    weight=Weight.NOTE,
)

_PREFIX = "urn:iso:std:iso:20022:tech:xsd:"
_ELEMENT = re.compile(r"^Element '(?:\{[^}]*\})?(?P<name>\w+)'")
# Elements that repeat without end, so that memory stays bounded.
_REPEATED = ("{*}CdtTrfTxInf", "{*}TxInfAndSts", "{*}Ntry", "{*}TxDtls")
_ERRORS_MAX = 100
_LOOK_EVERY = 1000


@lru_cache(maxsize=16)
def schema_of(namespace: str) -> etree.XMLSchema | None:
    """Return the compiled schema of a message's `namespace`, None where we keep none."""
    name = namespace.removeprefix(_PREFIX)
    resource = files("adapters.iso20022") / "schemas" / f"{name}.xsd"
    if not re.fullmatch(r"[a-z]{4}(\.\d{2,3}){3}", name) or not resource.is_file():
        return None
    with resource.open("rb") as source:
        return etree.XMLSchema(etree.parse(source))


def findings(source: BinaryIO, namespace: str, file: str = "") -> Iterator[Finding]:
    """Validate `source` in one pass and yield one finding per element and rule broken.

    No value is repeated: values hold names and accounts. After a hundred breaches the rest is not
    looked at. Yields nothing where no schema of `namespace` is kept.
    """
    schema = schema_of(namespace)
    if schema is None:
        return
    breaches = Counter(_breaches(source, schema))
    for (element, rule), count in sorted(breaches.items()):
        yield SCHEMA_INVALID.finding(
            Place(file=file, field=element),
            schema=namespace.removeprefix(_PREFIX),
            element=element,
            rule=rule,
            count=count,
        )


def _breaches(source: BinaryIO, schema: etree.XMLSchema) -> Iterator[tuple[str, str]]:
    parser = etree.iterparse(
        source, tag=_REPEATED, schema=schema, resolve_entities=False, no_network=True
    )
    try:
        for number, (_, element) in enumerate(parser):
            drop(element)
            if number % _LOOK_EVERY == 0 and len(parser.error_log) > _ERRORS_MAX:
                break
    except etree.XMLSyntaxError:
        # lxml says so once, at the end of the file; the log says what was broken.
        pass
    for entry in list(parser.error_log)[:_ERRORS_MAX]:
        match = _ELEMENT.match(entry.message)
        yield (match["name"] if match else ""), entry.type_name
