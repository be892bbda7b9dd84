"""The bench of the rules: twelve criteria on a million households beside hand-written SQL.

    python -m tests.benchmarks.rules [--households N] [--rounds N] [--record]

`caseload` makes the households, `twelve.yaml` is the pack, `hand_written.sql` and
`hand_written_list.sql` what somebody wrote for it, `work` runs either, `running` turn and turn
about, `report` makes the page with the floors.
"""
