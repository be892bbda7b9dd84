"""The programme: its people, permissions, transactions, clock and screens."""
