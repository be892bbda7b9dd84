"""Rule packs: who qualifies, said in a closed language, checked before it is used.

* `document`: YAML read with the text of its numbers and the place of every value;
* `parser`, `syntax`: the language, a closed subset of CEL: text to tree and back;
* `scope`, `check`, `terms`: from the tree to its meaning, every problem at once, in place;
* `pack`, `checked`: what a programme publishes, its hash, and the rules that come of it;
* `columns`, `pairs`: the rules over a whole snapshot, one grouped pass over the members;
* `rows`, `explain`: the same rules for one household, and why it was decided as it was.

Every condition passes, fails or is *unknown*. An unknown condition never turns into a yes or a no
by itself: the criterion says what happens (`on_unknown`), and the default is that people look.
"""
