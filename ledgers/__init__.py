"""Money: accounts, entries, holds, balances, reconciliation. No connection, no clock."""
