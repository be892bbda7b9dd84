"""The books in formats an outside accountant's tools read.

What is exported is what moved: posted transfers and legs. Holds are not movements and stay out. The
free text of a reason stays out too: whatever a person once typed there does not leave with an
export. Everything streams: one row at a time through a cursor of the server, inside the caller's
transaction.
"""

from ledgers.exports.journals import write_beancount, write_hledger, write_ledger_cli
from ledgers.exports.tables import write_audit_data, write_general_ledger, write_parquet

__all__ = [
    "write_audit_data",
    "write_beancount",
    "write_general_ledger",
    "write_hledger",
    "write_ledger_cli",
    "write_parquet",
]
