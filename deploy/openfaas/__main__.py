"""Deploys everything to an OpenFaaS gateway, or takes it away: `./deploy.sh`; see docs/deploying.md."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from urllib.request import Request, urlopen

from contracts.names import FUNCTIONS
from deploy import runner
from deploy.openfaas import containers, functions, images, kubernetes
from deploy.openfaas.commands import ROOT, Commands, StepError, say
from deploy.openfaas.settings import FOLDER, Settings, environment, make_secrets
from deploy.ports import wrong_at

READY_TIMEOUT_SECONDS = 120
TEXT = "I love you"
LOGIN = "faas-cli login --gateway {url} --username admin --password-stdin"

Step = tuple[str, Callable[[], str | None]]
"""What it does, and the doing; it returns what there is to say of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; returns 0, or 1 with a line that says which failed and what to do."""
    parser = argparse.ArgumentParser(prog="deploy.sh", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print each step, do none")
    parser.add_argument(
        "--kubernetes", action="store_true", help="the servers and the bridge on the cluster of kubectl"
    )
    parser.add_argument("--remove", action="store_true", help="take it all away, but for the data")
    parser.add_argument("--data", action="store_true", help="with --remove: the data and credentials, too")
    parsed = parser.parse_args(arguments)
    if parsed.data and not parsed.remove:
        parser.error("--data goes with --remove")
    try:
        settings = Settings.from_environment(environment(), kubernetes=parsed.kubernetes)
    except StepError as error:
        say(f"deploy.sh: {error}")
        return 1
    commands = Commands(parsed.dry_run, settings.variables)
    steps = removal(commands, settings, data=parsed.data) if parsed.remove else deployment(commands, settings)
    started = time.monotonic()
    for number, (title, do) in enumerate(steps, start=1):
        say(f"{time.monotonic() - started:6.1f} s  {number}/{len(steps)} {title}")
        try:
            if (note := do()) and not commands.dry_run:
                say(f"          {note}")
        except (StepError, runner.ServiceError) as error:
            say(f"deploy.sh: step {number}, {title}: {error}")
            say("Run it again when that is put right: what is done already is left as it is.")
            return 1
    say(f"{time.monotonic() - started:6.1f} s  done")
    if not (parsed.remove or parsed.dry_run):
        explain(settings)
    return 0


def deployment(commands: Commands, settings: Settings) -> list[Step]:
    """The steps that bring everything up."""

    def first_model() -> str | None:
        ready = f"{settings.gateway_url}/function/predict/_/ready"
        if functions.is_current(commands, settings, "predict") and wrong_at(ready) is None:
            return "there is one: predict serves it"
        containers.train_first_model(commands, settings)
        return None

    def deploy() -> str:
        changed = functions.deploy(commands, settings)
        return f"deployed {', '.join(changed)}" if changed else "all as they should be"

    first: list[Step] = [
        ("tools and gateway", lambda: check(commands, settings)),
        ("credentials", lambda: credentials(commands, settings)),
    ]
    made: list[Step] = [
        ("images", lambda: images.build(commands, settings)),
        ("registry", lambda: images.push(commands, settings)),
    ]
    last: list[Step] = [
        ("functions", deploy),
        ("ready", lambda: wait_until_ready(commands, settings)),
        (f"score {TEXT!r}", lambda: score(commands, settings)),
    ]
    if settings.kubernetes:
        return [*first, *made, ("cluster", lambda: kubernetes.apply(commands, settings)), *last]
    return [
        *first,
        (f"servers: {', '.join(settings.ours) or 'yours'}", lambda: containers.start_servers(commands, settings)),
        *made,
        ("first model", first_model),
        last[0],
        ("bridge", lambda: "started" if containers.start_bridge(commands, settings) else "runs as it should"),
        *last[1:],
    ]


def removal(commands: Commands, settings: Settings, *, data: bool) -> list[Step]:
    """The steps that take everything away; data of servers that are the user's stay in any case."""
    steps: list[Step] = [
        ("tools and gateway", lambda: check(commands, settings)),
        ("functions and secrets", lambda: functions.remove(commands)),
    ]
    if settings.kubernetes:
        steps.append(("cluster", lambda: kubernetes.remove(commands, data=data)))
    else:
        steps.append(("bridge", lambda: containers.stop_bridge(commands)))
        if settings.ours:
            steps.append(("servers", lambda: containers.stop_servers(commands, data=data)))
    if data:
        steps.append(("credentials", lambda: forget(commands)))
    return steps


def check(commands: Commands, settings: Settings) -> None:
    """See that the tools are there and the gateway lets us in; raises StepError."""
    if commands.only_says("docker info; faas-cli list"):
        return
    tools = {
        "docker": "install Docker Engine or a client of one",
        "faas-cli": "see https://docs.openfaas.com/cli/install/",
        **({"kubectl": "install it and point it at your cluster"} if settings.kubernetes else {}),
    }
    for tool, hint in tools.items():
        if shutil.which(tool) is None:
            raise StepError(f"{tool} is not on PATH: {hint}")
    if commands.ask("docker", "info") is None:
        raise StepError("`docker info` fails: no Docker engine answers")
    try:
        with urlopen(f"{settings.gateway_url}/healthz", timeout=10):  # noqa: S310 - the user's own gateway
            pass
    except OSError as error:
        raise StepError(f"no gateway at OPENFAAS_URL={settings.gateway_url}: {error}") from error
    if commands.ask("faas-cli", "list") is None:
        raise StepError(f"the gateway does not let you in: {LOGIN.format(url=settings.gateway_url)}")


def credentials(commands: Commands, settings: Settings) -> str | None:
    """Write the credentials that are missing; return which those are."""
    if commands.only_says(f"write what is missing into {FOLDER / 'secrets'}"):
        return None
    made = make_secrets(settings, environment())
    return f"new: {', '.join(made)}" if made else None


def forget(commands: Commands) -> None:
    """Delete the credentials of this deployment."""
    if not commands.only_says(f"delete {FOLDER}"):
        shutil.rmtree(FOLDER, ignore_errors=True)


def wait_until_ready(commands: Commands, settings: Settings) -> None:
    """Wait until each function, and the bridge where it runs here, says that it is ready; raises ServiceError."""
    urls = {name: f"{settings.gateway_url}/function/{name}/_/ready" for name in FUNCTIONS}
    if not settings.kubernetes:
        urls["bridge"] = f"http://127.0.0.1:{containers.bridge_port()}/_/ready"
    for name, url in urls.items():
        if not commands.only_says(f"wait for {url}"):
            _wait_until_ready(name, url)


def _wait_until_ready(name: str, url: str) -> None:
    logs = f"docker logs {containers.BRIDGE}" if name == "bridge" else f"faas-cli logs {name}"
    problem: str | None = None

    def ready() -> bool:
        nonlocal problem
        problem = wrong_at(url)
        return problem is None

    runner.wait_until_ready(name, ready, READY_TIMEOUT_SECONDS, explain=lambda: f"{problem}; see `{logs}`")


def score(commands: Commands, settings: Settings) -> str | None:
    """Score one text through the gateway; raises StepError."""
    url = f"{settings.gateway_url}/function/predict"
    if commands.only_says(f"POST {url}"):
        return None
    body = json.dumps({"text": TEXT}).encode()
    request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - the user's own gateway
    try:
        with urlopen(request, timeout=30) as response:  # noqa: S310
            answer = json.load(response)
    except (OSError, ValueError) as error:
        raise StepError(f"{url} does not score: {error}") from error
    return f"{answer['prediction']}, probability {answer['probability']:.3f}, model {answer['model']}"


def explain(settings: Settings) -> None:
    """Print what runs and how to try it."""
    say(f"""
functions  {", ".join(FUNCTIONS)} at {settings.gateway_url}/function/
store      {settings.s3_endpoint_url}, bucket {settings.bucket}
secrets    {(FOLDER / "secrets").relative_to(ROOT)}/

try it:
  curl -H 'content-type: application/json' -d '{{"text": "{TEXT}"}}' {settings.gateway_url}/function/predict
  faas-cli list
  ./deploy.sh --remove""")


if __name__ == "__main__":
    sys.exit(main())
