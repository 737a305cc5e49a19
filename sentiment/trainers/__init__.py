"""The trainers by their names, each a module: a new one is a file here, and a line in `TRAINERS`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from sentiment.linear import LinearModel
from sentiment.trainers import multinomial_nb, nb_logistic


class Trainer(Protocol):
    """What makes models of one kind. Training needs scikit-learn; reading a model does not."""

    def train(self, texts: Iterable[str], labels: Sequence[int], /) -> LinearModel:
        """Train on texts, which may be read several times, and their labels, 0 or 1; none is kept once counted.

        Raises ValueError where no model can be made of them.
        """

    def made_by(self) -> str:
        """Return what a manifest says of a model that `train` made."""

    def read(self, vocabulary: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], /) -> LinearModel:
        """Return the model of a vocabulary and of `LinearModel.arrays`; raises KeyError, TypeError or ValueError."""


TRAINERS: Mapping[str, Trainer] = {"multinomial-nb": multinomial_nb, "nb-logistic": nb_logistic}
DEFAULT_TRAINER = "multinomial-nb"
