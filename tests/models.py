"""What tests say of the models that they make, and ask of those that they get."""

import numpy as np

from contracts.manifest import About
from sentiment.linear import LinearModel

ABOUT = About(trained_at="2026-01-02T03:04:05+00:00", trainer="test", data="tests", examples=10)


def equal(one: LinearModel, other: LinearModel) -> bool:
    """Tell whether both are of one kind and hold the very same numbers."""
    numbers, others = one.arrays(), other.arrays()
    return (
        type(one) is type(other)
        and one.vocabulary == other.vocabulary
        and numbers.keys() == others.keys()
        and all(np.array_equal(numbers[name], others[name]) for name in numbers)
    )
