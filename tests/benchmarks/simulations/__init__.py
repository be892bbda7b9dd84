"""The simulation's bench: draws beside the bare kernel, cells, and household by household."""
