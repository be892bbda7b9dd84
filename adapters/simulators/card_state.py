"""What the simulated card processor keeps: programmes, loads, their uses, files and answers."""

STATE = """
CREATE TABLE IF NOT EXISTS programmes (
  programme TEXT PRIMARY KEY, currency TEXT NOT NULL, exponent INTEGER NOT NULL,
  available_minor INTEGER NOT NULL, stated_minor INTEGER NOT NULL, funding_minor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (file_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS loads (
  number INTEGER PRIMARY KEY, ref TEXT NOT NULL UNIQUE, file_id TEXT NOT NULL,
  programme TEXT NOT NULL, card_ref TEXT NOT NULL, asked_minor INTEGER NOT NULL,
  code TEXT NOT NULL, loaded_minor INTEGER NOT NULL, fee_minor INTEGER NOT NULL,
  effective_on TEXT NOT NULL, loaded_at TEXT NOT NULL, settlement INTEGER);
CREATE TABLE IF NOT EXISTS uses (
  number INTEGER PRIMARY KEY, load INTEGER NOT NULL, amount_minor INTEGER NOT NULL,
  used_on TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS uses_of_load ON uses (load);
CREATE TABLE IF NOT EXISTS redeemed (
  programme TEXT NOT NULL, on_date TEXT NOT NULL, PRIMARY KEY (programme, on_date));
CREATE TABLE IF NOT EXISTS settled (
  programme TEXT NOT NULL, on_date TEXT NOT NULL, PRIMARY KEY (programme, on_date));
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, question TEXT, published INTEGER NOT NULL);
"""
INSERT_LOAD = "INSERT OR IGNORE INTO loads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"

# What is left of each load that reached its card by a date.
LEFT = """
SELECT number, ref, card_ref, loaded_minor - coalesce(
  (SELECT sum(amount_minor) FROM uses WHERE load = loads.number), 0) AS left_minor
FROM loads WHERE programme = ? AND effective_on <= ? AND loaded_minor > 0 AND left_minor > 0
ORDER BY number
"""
