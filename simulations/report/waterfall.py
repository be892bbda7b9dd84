"""The caseload as a waterfall: from this month's to the next, and over the whole horizon.

Of those who qualify some leave, some are lost at recertification, some age out of the rules or lose
by a change of them; others register, age in or gain by a change. Of those who qualify then, some do
not take up, some wait for a place, some payments are not funded or fail; the rest is paid. Counted
on the base path, in whole households that add up in every month.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from simulations.dynamics import moves_of
from simulations.projection.drawing import base_flows
from simulations.projection.running import Projection
from simulations.randomness import Floats, Ints
from simulations.report.model import Column, Kind, Sentence, count, table
from simulations.report.parts import MONTH, Part, days_of, part, saying

COME = ("arrivals_come", "aged_in", "rules_in")
GO = ("exits_gone", "loss_gone", "aged_out", "rules_out")
NOT_PAID = ("not_taking_up", "waiting", "not_funded", "failed")

ALWAYS = ("qualify_before", "qualify", "paid")


def waterfall_parts(projection: Projection) -> Iterator[Part]:
    """Yield the waterfall over the horizon, then the moves of every month."""
    moved = moves(projection)
    yield _bridge_part(moved)
    yield _months_part(projection, moved)


def moves(projection: Projection) -> dict[str, Ints]:
    """Return months by name: who qualifies, who comes and goes, and what becomes of the rest.

    `qualify` of a month is that of the month before with `COME` and less `GO`; less `NOT_PAID` it
    is `paid`.
    """
    loads, ledger = projection.base.loads, projection.base.base
    flows, rates = base_flows(projection.draws, loads)
    found = moves_of(flows, rates, 0)
    come_by_rules = np.divide(
        loads.by_rules, loads.flows.ageing_in, out=np.zeros_like(loads.by_rules),
        where=loads.flows.ageing_in > 0,
    )  # fmt: skip
    parts = np.stack([
        one.sum(axis=1)
        for one in (
            found.arrivals, found.aged_in * (1 - come_by_rules), found.aged_in * come_by_rules,
            -found.exits, -found.loss, -found.aged_out * (1 - loads.out_by_rules),
            -found.aged_out * loads.out_by_rules,
        )
    ])  # fmt: skip
    entitled = found.entitled.sum(axis=1)
    qualify = np.floor(entitled + 0.5).astype(np.int64)
    changes = np.diff(qualify, prepend=qualify[0])
    whole = np.stack([whole_moves(*one) for one in zip(parts.T, changes.tolist(), strict=True)])
    taking_up = np.rint(entitled * rates.take_up[0]).astype(np.int64)
    due = ledger.due[0]
    return {
        "qualify_before": np.concatenate([qualify[:1], qualify[:-1]]),
        **{name: np.abs(whole[:, at]) for at, name in enumerate((*COME, *GO))},
        "qualify": qualify,
        "not_taking_up": qualify - np.maximum(taking_up, due),
        "waiting": np.maximum(taking_up, due) - due,
        "not_funded": due - ledger.paid[0] - ledger.failed[0],
        "failed": ledger.failed[0],
        "paid": ledger.paid[0],
    }


def whole_moves(parts: Floats, total: int) -> Ints:
    """Return whole numbers near `parts` (below zero: those who go) whose sum is `total`.

    What is zero stays so.

    >>> whole_moves(np.array([2.4, 0.0, -1.7]), 1).tolist()
    [3, 0, -2]
    """
    whole = np.floor(parts).astype(np.int64)
    missing = total - int(whole.sum())
    order = np.argsort(whole - parts, kind="stable")
    order = order[parts[order] != 0]
    if len(order):
        each, more = divmod(missing, len(order))
        whole[order] += each
        whole[order[:more]] += 1
    return whole


def _bridge_part(moved: Mapping[str, Ints]) -> Part:
    """Return the steps from the first month's caseload to who is paid in the last."""
    steps = [("qualify_first", int(moved["qualify"][0]), "level")]
    steps += [(name, int(moved[name].sum()), "comes") for name in COME]
    steps += [(name, -int(moved[name].sum()), "goes") for name in GO]
    steps.append(("qualify_last", int(moved["qualify"][-1]), "level"))
    steps += [(name, -int(moved[name][-1]), "goes") for name in NOT_PAID]
    steps.append(("paid_last", int(moved["paid"][-1]), "level"))
    shown = [step for step in steps if step[1] or step[2] == "level"]
    then, rows = 0, []
    for name, change, kind in shown:
        then = change if kind == "level" else then + change
        rows.append((name, change, then, kind))
    names, changes, levels, kinds = zip(*rows, strict=True)
    columns = [
        Column("step", Kind.WORD), Column("change", Kind.COUNT), Column("then", Kind.COUNT),
        Column("step_kind", Kind.WORD),
    ]  # fmt: skip
    content = {"step": names, "change": changes, "then": levels, "step_kind": kinds}
    made = part(
        "waterfall", table("waterfall", columns, content), "bridge", name="step", value="change",
        upto="then", kind="step_kind", unit="count",
    )  # fmt: skip
    facts = {
        "first": count(moved["qualify"][0]), "last": count(moved["qualify"][-1]),
        "come": count(sum(moved[name].sum() for name in COME)),
        "go": count(sum(moved[name].sum() for name in GO)), "paid": count(moved["paid"][-1]),
        "months": count(len(moved["paid"])),
    }  # fmt: skip
    return saying(made, Sentence("waterfall_says", facts))


def _months_part(projection: Projection, moved: Mapping[str, Ints]) -> Part:
    kept = {name: month for name, month in moved.items() if name in ALWAYS or month.any()}
    columns = [MONTH, *(Column(name, Kind.COUNT) for name in kept)]
    content = table("moves", columns, {"month": days_of(projection), **kept})
    come, go = ([name for name in names if name in kept] for names in (COME, GO))
    form = "flows" if come or go else ""
    made = part("moves", content, form, come=" ".join(come), go=" ".join(go), unit="count")
    return saying(made, Sentence("moves_says"))
