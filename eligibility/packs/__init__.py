"""Rule packs that come with the program, each a YAML file with its sources and its words.

A programme file names one by its code (`rules: {pack: essn-2023}`); `cva rules run` takes the file.
They are examples of how real programmes select, and a place to start from: dates, amounts and
criteria carry the published source they were read from, or say that they are an example.
"""

from collections.abc import Mapping
from pathlib import Path

SHIPPED = Path(__file__).parent


def shipped_packs() -> Mapping[str, Path]:
    """Return the files of the packs that come with the program, by code."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
