"""The demo: three programmes from a Kobo export to closed books, on a database thrown away after.

Everything is the real thing but the far side: a bank that other people wrote (`mock-bank`) and our
small card processor, both over their real files and protocols. What the demo prints is what the
engine computed; the population's shape follows published figures, the engine does not know them.
"""

from cva.demo.running import run

__all__ = ["run"]
