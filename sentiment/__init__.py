"""The model: texts to words to counts to log-odds; training, evaluation and drift. No network but for data sets.

The modules are the interface: `sentiment.scorer` serves with the standard library alone, while
`sentiment.model` and `sentiment.artifact` need NumPy, and `sentiment.training` scikit-learn.
"""
