"""The future: populations and scenarios from a seed. Opens no connection and reads no clock."""
