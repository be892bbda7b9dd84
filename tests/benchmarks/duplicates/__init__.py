"""The bench of duplicates: a generated registry with its truth, accuracy, and speed."""
