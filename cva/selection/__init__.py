"""What people decide beside a run of the rules, in a cycle, before its payments are locked.

* `places`: who leaves, and who is promoted from the waiting list into the free place;
* `discretion`: households that a person lists beside the order, within the programme's cap;
* `attendance`: days or sessions attended, on which conditional amounts rest;
* `cases`: amounts that a case officer awards item by item;
* `reasons`: that nobody decides without saying why;
* `facts`: what of all this goes into the snapshot that a run decides from.

Everything is an append-only row with its author and evidence; `cva/selection.sql` holds the rules
against whoever writes to the tables.
"""
