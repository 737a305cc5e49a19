"""`python -m model_store`: look at the versions of the model, and choose the one that is served."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from contracts.codec import extended, indented
from model_store.errors import CurrentRefused, StoreError, VersionNotFound
from model_store.layout import Current
from model_store.publishing import ModelStore, VersionInfo
from process.settings import SettingsError
from process.tls import trust_authorities
from sentiment.artifact import ArtifactError
from sentiment.card import card


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 with the reason in one line on stderr (2: wrong usage)."""
    options = _parser().parse_args(arguments)
    try:
        trust_authorities()
        answer, lines = options.command(ModelStore.from_environment(), options)
    except (StoreError, ArtifactError, SettingsError) as error:
        print(f"model_store: {error}", file=sys.stderr)
        return 1
    print(*([indented(answer)] if options.json else lines), sep="\n")
    return 0


Answer = tuple[object, Iterable[str]]
"""What a command has to say, as JSON and as lines."""


def _parser() -> argparse.ArgumentParser:
    description = "Versions of the model in the bucket S3_BUCKET of S3_ENDPOINT_URL."
    parser = argparse.ArgumentParser(prog="python -m model_store", description=description)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[ModelStore, Any], Answer], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(command=run)
        sub.add_argument("--json", action="store_true", help="answer in JSON")
        return sub

    command("list", _list, "list all versions, the served one marked by a star")
    command("history", _history, "list the promotions, newest first")
    command("check", _check, "check that the store can be reached and honours conditional writes")
    show = command("show", _show, "show what a version's manifest says, and check all of its parts")
    described = command("card", _card, "describe a version in Markdown, by default the served one")
    sign = command(
        "sign", _sign, "sign a version that you know, whoever made it, by default the served one, and its promotion"
    )
    promote = command("promote", _promote, "serve a version")
    rollback = command("rollback", _rollback, "serve the version before the present one, or VERSION")
    show.add_argument("version", metavar="VERSION")
    described.add_argument("version", metavar="VERSION", nargs="?")
    sign.add_argument("version", metavar="VERSION", nargs="?")
    promote.add_argument("version", metavar="VERSION")
    rollback.add_argument("version", metavar="VERSION", nargs="?")
    who = os.environ.get("USER") or f"uid {os.getuid()}"
    for moving in (promote, rollback, sign):
        moving.add_argument("--by", default=who, help="who (default: %(default)s)")
    for moving in (promote, rollback):
        moving.add_argument("--reason", default="by hand", help="why (default: %(default)s)")
    return parser


class Listed(VersionInfo, frozen=True, kw_only=True):
    """A version as `list --json` shows it."""

    served: bool


def _list(store: ModelStore, _: argparse.Namespace) -> Answer:
    served, problem = None, []
    try:
        current = store.current()
        served = current.version if current else None
    except CurrentRefused as refused:
        problem = [str(refused)]
    infos = [extended(info, Listed, served=info.version == served) for info in store.versions()]
    return infos, problem + [f"{'*' if info.served else ' '} {_line(info)}" for info in infos] or ["no versions"]


def _line(info: VersionInfo) -> str:
    about = info.problem
    if info.manifest:
        metrics = info.manifest.metrics
        about = about or info.manifest.trainer + (f", accuracy {metrics.accuracy:.1%}" if metrics else "")
    return f"{info.version}  {info.written_at:%Y-%m-%d %H:%M:%S}  {info.size_bytes:>12,} bytes  {about}"


def _show(store: ModelStore, options: argparse.Namespace) -> Answer:
    manifest = store.load(options.version).manifest
    return manifest, [indented(manifest), "all parts are whole"]


def _card(store: ModelStore, options: argparse.Namespace) -> Answer:
    version = options.version or _served(store).version
    manifest = store.load(version).manifest
    kept = {info.version: info.manifest for info in store.versions()}
    text = card(version, manifest, [(ancestor, kept.get(ancestor)) for ancestor in manifest.ancestors])
    return manifest, [text.rstrip()]


def _served(store: ModelStore) -> Current:
    current = store.current()
    if current is None:
        raise VersionNotFound("no version is served")
    return current


def _sign(store: ModelStore, options: argparse.Namespace) -> Answer:
    version = options.version
    if version:
        store.sign(version)
    else:
        version = store.sign_current(_served(store), by=options.by).version
    return {"signed": version}, [f"signed {version}"]


def _promote(store: ModelStore, options: argparse.Namespace) -> Answer:
    current = store.serve(options.version, by=options.by, reason=options.reason)
    return current.promotion, [f"serving {current.version}"]


def _rollback(store: ModelStore, options: argparse.Namespace) -> Answer:
    current = store.rollback(options.version, by=options.by, reason=options.reason)
    return current.promotion, [f"serving {current.version}, before: {current.promotion.previous}"]


def _history(store: ModelStore, _: argparse.Namespace) -> Answer:
    promotions = store.history()
    lines = [
        f"{each.at}  {each.previous or 'none'} -> {each.version}  by {each.by}: {each.reason}" for each in promotions
    ]
    return promotions, lines or ["no promotions"]


def _check(store: ModelStore, _: argparse.Namespace) -> Answer:
    store.ensure_bucket()
    store.check_conditional_writes()
    return {"conditional_writes": True}, ["the store answers and honours conditional writes"]


if __name__ == "__main__":
    sys.exit(main())
