"""Synthetic populations: registrations of people who do not exist, with a known truth.

A free population (`generate(131_072, seed, day)`) follows published margins; a shape (`read_shape`)
fixes households and people of every stratum exactly. Both are written in the shapes KoBo exports,
so that they enter by the same door as real registrations. Same seed, same bytes.

Sources: `simulations/data/*.csv`, each row with its own. Shapes: `shape`; planted things: `shape`,
`flaws`, `making`; fictional number ranges: `identifiers`.
"""

from simulations.population.export import ExportFormat, Truth, generate, write_population
from simulations.population.shape import DEMO, Fault, Flaw, Shape, Stratum, checked, read_shape

__all__ = [
    "DEMO",
    "ExportFormat",
    "Fault",
    "Flaw",
    "Shape",
    "Stratum",
    "Truth",
    "checked",
    "generate",
    "read_shape",
    "write_population",
]
