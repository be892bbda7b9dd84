"""The bench: each step of the path beside a limit measured in the same run.

    python -m tests.benchmarks [--households N …] [--record]

`path` has the steps as the commands run them, `limits` the least that anybody would have to do for
the same rows, `caseload` the registrations, `far_side` the providers' answers, `measuring` the
watch, `running` the order of things, `report` the page.
"""
