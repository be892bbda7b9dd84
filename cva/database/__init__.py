"""The database: an embedded PostgreSQL, connections by role, migrations.

* `cluster`, `programs` - a PostgreSQL 18 of our own, started from the programs of a wheel;
* `connect` - engines by role, transactions, and what database errors mean to people;
* `roles` - the three roles on a server that somebody else runs;
* `migrations` - plain-SQL revisions in a known order.
"""
