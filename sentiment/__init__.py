"""The model, pure: texts to words to counts to log-odds; training, evaluation, the gate and drift.

The modules are the interface. `sentiment.scorer` and `sentiment.table` serve without NumPy; `sentiment.sequence_table`,
which serves models of sequences, `sentiment.model` and `sentiment.packing` need NumPy, and `sentiment.training`
scikit-learn.
"""
