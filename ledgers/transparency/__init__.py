"""The transparency log: what was recorded can neither be changed, cut, reordered nor denied.

Every entry and every transfer is a leaf of one Merkle tree (`encoding`, `tree`); sealing gives it a
place for good (`sealing`); a signed checkpoint says what the whole log is (`checkpoint`); proofs
show that a leaf is in it and that it only ever grew (`proofs`); a bundle carries all that proves
one payment, for `verify_bundle.py` to check on a machine that has nothing of ours (`bundle`).
`verifying` recomputes all of it from the rows.
"""
