"""Drift: whether the texts that arrive still look like those that the model was measured on.

`samples` has the statistics of two sets of texts, `check` compares them, and `confirm` turns a row of comparisons into
a state that does not flap. Arrays in, figures out: nothing here reads a file or a server. docs/drift.md says what is
tested, why, and how well it works.
"""
