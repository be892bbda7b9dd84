"""Other people's formats and protocols: bytes and HTTP in, observations out, and back."""
