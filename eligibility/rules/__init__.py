"""Rule packs: who qualifies, said in a closed language, checked before it is used.

* `document`: YAML read with the text of its numbers and the place of every value;
* `syntax`: the language, a closed subset of CEL (lexer, parser, limits);
* `terms`: what an expression means once its names and types are known;
* `check`: from syntax to terms, every problem at once, with line and column;
* `pack`: the document a programme publishes, its canonical form and its hash;
* `columns`: terms over a whole snapshot, in columns, one grouped pass over the members;
* `rows`: the same terms for one household;
* `explain`: why one household was decided as it was.

Every condition passes, fails or is *unknown*. An unknown condition never turns into a yes or a no
by itself: the criterion says what happens (`on_unknown`), and the default is that people look.
"""
