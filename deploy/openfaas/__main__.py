"""Deploys everything to an OpenFaaS gateway, or takes it away: `./deploy.sh`; see docs/deploying.md."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from urllib.request import Request, urlopen

from contracts.names import FUNCTIONS
from deploy.openfaas import containers, functions, kubernetes
from deploy.openfaas.commands import ROOT, Commands, say
from deploy.openfaas.settings import FOLDER, SECRETS, Settings, make_secrets
from deploy.ports import wrong_at
from deploy.runner import ServiceError, wait_until_ready

READY_TIMEOUT_SECONDS = 120
TEXT = "I love you"
ASKED = {"predict": "", "retrain": "", "drift": "/reports?limit=1", "generate-drift": "", "console": "/login"}
"""What a function that is ready answers, and that changes nothing: `/_/ready` is not for who comes by a gateway."""
REFUSALS = (401, 403)
"""How generate-drift answers who has no token, or where it is off: it is there, and does nothing."""

Step = tuple[str, Callable[[Commands, Settings], str | None]]
"""What it does, and the doing, which returns what there is to say of it, or None."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; return 0, or 1 with a line that says which failed and what to do."""
    parser = argparse.ArgumentParser(prog="deploy.sh", description=__doc__)
    # What each means: the usage of deploy.sh.
    for flag in ("--dry-run", "--check", "--kubernetes", "--remove", "--data"):
        parser.add_argument(flag, action="store_true")
    parsed = parser.parse_args(arguments)
    if parsed.data and not parsed.remove:
        parser.error("--data goes with --remove")
    try:
        settings = Settings.from_environment(os.environ, kubernetes=parsed.kubernetes)
    except ServiceError as error:
        say(f"deploy.sh: {error}")
        return 1
    commands = Commands(parsed.dry_run, settings.variables)
    steps = removal(settings, data=parsed.data) if parsed.remove else deployment(settings)
    if parsed.check:
        steps = checks(settings)
    failed = False
    started = time.monotonic()
    for number, (title, do) in enumerate(steps, start=1):
        say(f"{time.monotonic() - started:6.1f} s  {number}/{len(steps)} {title}")
        try:
            if (note := do(commands, settings)) and not commands.dry_run:
                say(f"          {note}")
        except ServiceError as error:
            say(f"deploy.sh: step {number}, {title}: {error}")
            if not parsed.check:
                say("Run it again when that is put right: what is done already is left as it is.")
                return 1
            failed = True
    say(f"{time.monotonic() - started:6.1f} s  {'something is missing' if failed else 'done'}")
    if not (parsed.remove or parsed.dry_run or parsed.check):
        explain(settings)
    return int(failed)


def checks(settings: Settings) -> list[Step]:
    """Return the steps that change nothing."""
    cluster: list[Step] = [("what the cluster has", kubernetes.check)]
    return [("tools and gateway", check), *(cluster if settings.kubernetes else [])]


def deployment(settings: Settings) -> list[Step]:
    """Return the steps that bring everything up."""
    on_cluster = settings.kubernetes
    return [
        *checks(settings),
        ("credentials", credentials),
        ("images", containers.build),
        ("registry", containers.push),
        *([] if on_cluster else [(f"servers: {', '.join(settings.ours) or 'yours'}", containers.start_servers)]),
        ("cluster", kubernetes.apply) if on_cluster else ("first model", first_model),
        ("functions", functions.deploy),
        *([] if on_cluster else [("bridge", containers.start_bridge)]),
        ("ready", wait_for_all),
        (f"score {TEXT!r}", score),
        *([("a message", kubernetes.test)] if on_cluster else []),
    ]


def removal(settings: Settings, *, data: bool) -> list[Step]:
    """Return the steps that take everything away; data of servers that are the user's stay in any case."""
    beside = ("cluster", kubernetes.remove) if settings.kubernetes else ("bridge and servers", containers.remove)
    return [
        ("tools and gateway", check),
        *([("kubectl and Helm", kubernetes.check_tools)] if settings.kubernetes else []),
        ("functions and secrets", functions.remove),
        (beside[0], partial(beside[1], data=data)),
        *([("credentials", forget)] if data else []),
    ]


def check(commands: Commands, settings: Settings) -> None:
    """See that the tools are there and the gateway lets us in; raises ServiceError."""
    if commands.only_says("docker info; faas-cli list"):
        return
    needed = {
        ("docker", "info"): "install Docker Engine, or a client of one that answers",
        (*containers.compose_command(commands), "version"): "install compose: https://docs.docker.com/compose/install/",
        # In full, it would ask what newer one there is, and fail where the network is closed.
        ("faas-cli", "version", "--short-version"): "see https://docs.openfaas.com/cli/install/",
    }
    for command, hint in needed.items():
        if words := commands.refusal(*command):
            raise ServiceError(f"{words}\n    {hint}")
    if problem := wrong_at(f"{settings.gateway_url}/healthz"):
        raise ServiceError(f"no gateway at OPENFAAS_URL={settings.gateway_url}: {problem}")
    if words := commands.refusal("faas-cli", "list"):
        login = f"faas-cli login --gateway {settings.gateway_url} --username admin --password-stdin"
        raise ServiceError(f"{words}\n    where it is for the password: {login}")


def credentials(commands: Commands, settings: Settings) -> str | None:
    """Write the credentials that are missing; return which those are."""
    if commands.only_says(f"write what is missing into {SECRETS}"):
        return None
    made = make_secrets(settings, os.environ)
    return f"new: {', '.join(made)}" if made else None


def forget(commands: Commands, _settings: Settings) -> None:
    """Delete the credentials of this deployment."""
    if not commands.only_says(f"delete {FOLDER}"):
        shutil.rmtree(FOLDER, ignore_errors=True)


def first_model(commands: Commands, settings: Settings) -> str | None:
    """Have a model in the store; predict as it should be, and ready, needs none."""
    if "predict" not in functions.changed(commands, settings) and wrong_at(_address(settings, "predict")) is None:
        return "there is one: predict serves it"
    containers.train_first_model(commands, settings)
    return None


def wait_for_all(commands: Commands, settings: Settings) -> None:
    """Wait until each function answers, and the bridge, where it runs here, is ready; raises ServiceError."""
    for name in FUNCTIONS:
        _wait_for(commands, name, _address(settings, name), logs=f"faas-cli logs {name}")
    if not settings.kubernetes:
        url = f"http://127.0.0.1:{settings.variables['BRIDGE_PORT']}/_/ready"
        _wait_for(commands, "bridge", url, logs=f"docker logs {containers.BRIDGE}")


def _address(settings: Settings, name: str) -> str:
    return f"{settings.gateway_url}/function/{name}{ASKED[name]}"


def _wait_for(commands: Commands, name: str, url: str, logs: str) -> None:
    def wrong() -> str | None:
        return wrong_at(url, REFUSALS if name == "generate-drift" else ())

    if not commands.only_says(f"wait for {url}"):
        wait_until_ready(
            name, lambda: wrong() is None, READY_TIMEOUT_SECONDS, explain=lambda: f"{wrong()}; see `{logs}`"
        )


def score(commands: Commands, settings: Settings) -> str | None:
    """Score one text through the gateway; raises ServiceError."""
    url = f"{settings.gateway_url}/function/predict"
    if commands.only_says(f"POST {url}"):
        return None
    body = json.dumps({"text": TEXT}).encode()
    request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - the user's own gateway
    try:
        with urlopen(request, timeout=30) as response:  # noqa: S310
            answer = json.load(response)
    except (OSError, ValueError) as error:
        raise ServiceError(f"{url} does not score: {error}") from error
    return f"{answer['prediction']}, probability {answer['probability']:.3f}, model {answer['model']}"


def explain(settings: Settings) -> None:
    """Print what runs and how to try it."""
    say(f"""
functions  {", ".join(FUNCTIONS)} at {settings.gateway_url}/function/
store      {settings.variables["S3_ENDPOINT_URL"]}, bucket {settings.variables["S3_BUCKET"]}
console    {settings.gateway_url}/function/console/, the token in {SECRETS.relative_to(ROOT)}/console-token
secrets    {SECRETS.relative_to(ROOT)}/

try it:
  curl -H 'content-type: application/json' -d '{{"text": "{TEXT}"}}' {settings.gateway_url}/function/predict
  faas-cli list
  ./deploy.sh {"--kubernetes " if settings.kubernetes else ""}--remove""")


if __name__ == "__main__":
    sys.exit(main())
