"""Trains, publishes and promotes the first model, unless the store serves one already.

The promotion log says who it was: PROMOTED_BY, the command that the user gave.
"""

import os
import sys
from functools import partial

from datasets import DataError, default_cache, load_corpus
from deploy.training_data import choose
from model_store.errors import StoreError
from model_store.publishing import ModelStore

HOLDOUT_SHARE = 0.1

say = partial(print, flush=True)


def main() -> int:
    """Return 0 when the store serves a model; else print one line that says what to do, and return 1."""
    by = os.environ.get("PROMOTED_BY") or "deploy.first_model"
    try:
        store = ModelStore.from_environment()
        store.ensure_bucket()
        store.check_conditional_writes()
        if current := store.current():
            if upgraded := store.upgrade(current, by=by):
                say(f"model {current.version} is of an older format: packed again as {upgraded.version}")
            else:
                say(f"model {current.version} is there: no training")
            return 0
        data = os.environ.get("TRAIN_DATA") or choose(default_cache()).split()[0]
        say(f"training the first model on {data} ...")
        corpus = load_corpus(data, part="train" if data == "imdb" else None)
        from sentiment.training import train_artifact  # scikit-learn takes a second to import

        artifact = train_artifact(corpus, holdout_share=HOLDOUT_SHARE)
        version = store.publish(artifact)
        store.promote(version, expected=None, by=by, reason="the first model")
    except DataError as error:
        say(f"no training data: {error} (TRAIN_DATA=imdb|starter|PATH chooses)")
        return 1
    except (StoreError, ValueError) as error:
        say(f"no first model: {error}")
        return 1
    metrics = artifact.manifest.metrics
    accuracy = f", accuracy {metrics.accuracy:.1%} on {metrics.texts} held out" if metrics else ""
    say(f"model {version}: {artifact.manifest.examples} texts{accuracy}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
