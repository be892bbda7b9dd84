"""A scenario month by month: caseload, money, grants; on the base path and in thousands of draws.

* `prices`: exchange rates and consumer prices of a scenario, as paths;
* `courses`: what the rule packs say of the population, on the days on which they are run;
* `caseload`: households paid, by province and size of household;
* `ledger`: what they cost, and which grant pays for it;
* `drawing`: the draws of a scenario: which chance moves what.

Money is whole minor units throughout, also in the draws: chance decides rates and counts of
households, and from there on every amount is counted, converted and drawn exactly.
"""
