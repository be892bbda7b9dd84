"""The first revision: the books, and the programme around them."""

from cva.database.migrations.sql import execute

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Execute `0001_first.sql`."""
    execute("0001_first.sql")
