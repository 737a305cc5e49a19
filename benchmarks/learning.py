"""What the gate lets through, and what an update costs beside training again.

    python -m benchmarks.learning [--imdb ../shared/imdb]

Seeded; prints two tables in Markdown. The first begins with a model trained on the starter data and gives it labels of
IMDB reviews, honest and poisoned; the reviews that accuracy is then measured on are never among the labels.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from datasets import load_corpus
from sentiment import gate
from sentiment.artifact import HOLDOUT_PART
from sentiment.counts import count_texts
from sentiment.packing import Holdout, unpack
from sentiment.text import Corpus
from sentiment.trainers.multinomial_nb import train
from sentiment.training import train_artifact
from tests.models import labelled
from tests.system import ROOT

HOLDOUT_SHARE = 0.1
RUNS = 3
UPDATE_LABELS = 1_000


def main() -> int:
    """Run both; returns 0, or 2 where the data is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imdb", type=Path, default=ROOT.parent / "shared" / "imdb")
    imdb = parser.parse_args().imdb
    if not (imdb / "aclImdb_dev.tar.gz").exists():
        print(f"{imdb} has no aclImdb_dev.tar.gz; say where it is with --imdb", file=sys.stderr)
        return 2
    dev = load_corpus(str(imdb / "aclImdb_dev.tar.gz"))
    print_gate(load_corpus("starter"), dev)
    print()
    print_update(load_corpus(str(imdb / "aclImdb_train.tar.gz")), dev)
    return 0


def print_gate(starter: Corpus, dev: Corpus) -> None:
    """Print what becomes of honest, random and reversed labels of different numbers."""
    artifact = train_artifact(starter, holdout_share=HOLDOUT_SHARE)
    champion = unpack(artifact)
    holdout = Holdout.from_bytes(artifact.parts[HOLDOUT_PART])
    held_labels = holdout.labels.astype(np.intp)
    truth = np.array(dev.labels, dtype=np.intp)
    documents = count_texts(dev.texts)
    print("| labels | promoted | holdout | recent labels | rest of the reviews |\n| --- | --- | --- | --- | --- |")
    for kind in ("honest", "random", "reversed"):
        for number in (100, 500, 2_000):
            promoted, figures = 0, []
            for run in range(RUNS):
                random = np.random.default_rng(run)
                chosen = np.zeros(len(truth), dtype=np.bool_)
                chosen[random.permutation(len(truth))[:number]] = True
                labels = truth[chosen]
                if kind == "random":
                    labels = random.integers(0, 2, number)
                elif kind == "reversed":
                    labels = 1 - labels
                new = labelled(documents.select(chosen), labels.tolist(), bound=artifact.manifest.label_bound)
                challenger = new.learned_by(champion)
                scorers = champion.scorer(), challenger.scorer()
                right = [gate.right(scorer, holdout.texts, held_labels) for scorer in scorers]
                on_holdout = gate.Answers(held_labels, np.array(right))
                on_recent = gate.on_recent(scorers[0], challenger, new)
                promoted += gate.decide(on_holdout, on_recent).promote
                rest, rest_truth = documents.select(~chosen), truth[~chosen]
                accuracies = [gate.right(scorer, rest, rest_truth).mean() for scorer in scorers]
                figures.append((*on_holdout.shares(), *on_recent.shares(), *accuracies))
            holdout_before, holdout_after, recent_before, recent_after, before, after = np.mean(figures, axis=0)
            print(
                f"| {number:,} {kind} | {promoted} of {RUNS} | {holdout_before:.1%} → {holdout_after:.1%} "
                f"| {recent_before:.1%} → {recent_after:.1%} | {before:.1%} → {after:.1%} |"
            )


def print_update(imdb: Corpus, dev: Corpus) -> None:
    """Print how long an update takes, and training again on everything, and whether both give the same model."""
    texts, labels = dev.texts[:UPDATE_LABELS], dev.labels[::-1][:UPDATE_LABELS]
    model = train(imdb.texts, imdb.labels)
    started = time.process_time()
    updated = model.added(count_texts(texts), labels)
    update_seconds = time.process_time() - started
    started = time.process_time()
    again = train(imdb.texts + texts, imdb.labels + labels)
    again_seconds = time.process_time() - started
    equal = updated.vocabulary == again.vocabulary and updated.bias() == again.bias()
    equal = equal and np.array_equal(updated.counts, again.counts)
    print("| learning 1,000 labels on the IMDB model | processor seconds |\n| --- | --- |")
    print(f"| training again on 26,000 texts | {again_seconds:.2f} |\n| update of counts | {update_seconds:.3f} |")
    print(f"\n{again_seconds / update_seconds:.0f} times faster; the same counts and tables: {equal}")


if __name__ == "__main__":
    sys.exit(main())
