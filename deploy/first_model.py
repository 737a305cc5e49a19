"""Trains, publishes and promotes the first model, unless the store serves one already."""

import os
import sys

from deploy.local.training_data import choose
from model_store import ModelStore, StoreError
from sentiment.data import DataError, default_cache, load_corpus

HOLDOUT_SHARE = 0.1


def main() -> int:
    """Returns 0 when the store serves a model; else prints one line that says what to do, and returns 1."""
    data = os.environ.get("TRAIN_DATA") or choose(default_cache()).split()[0]
    try:
        store = ModelStore.from_environment()
        store.ensure_bucket()
        store.check_conditional_writes()
        if current := store.current():
            print(f"model {current.version} is there: no training", flush=True)
            return 0
        print(f"training the first model on {data} ...", flush=True)
        corpus = load_corpus(data, part="train" if data == "imdb" else None)
        from sentiment.training import train_artifact  # scikit-learn takes a second to import

        artifact = train_artifact(corpus, holdout_share=HOLDOUT_SHARE)
        version = store.publish(artifact)
        store.promote(version, expected=None, by="deploy.sh --local", reason="the first model")
    except DataError as error:
        print(f"no training data: {error} (TRAIN_DATA=imdb|starter|PATH chooses)", flush=True)
        return 1
    except (StoreError, ValueError) as error:
        print(f"no first model: {error}", flush=True)
        return 1
    metrics = artifact.manifest["metrics"]
    print(
        f"model {version}: {artifact.manifest['examples']} texts, "
        f"accuracy {metrics['accuracy']:.1%} on {metrics['texts']} held out",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
