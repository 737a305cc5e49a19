"""Writes the files of the Helm chart that follow from elsewhere: `python -m deploy.chart_files`.

The schema of its values, whose settings are those of docs/configuration.md, the roles of MongoDB, which are those of
deploy/rights.py, and its Secrets, which are those of deploy/reads.py.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.reads import OF_CLUSTER
from deploy.rights import mongodb_roles
from deploy.secrets import DATABASE

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "chart"
# Of the bridge and the first model; addresses with a password in them are credentials.
SECTIONS = ("Addresses", "Every process", "bridge", "The local stack", "Data sets")
OTHERS = ("RECORD_TTL_DAYS",)
# Of the local stack alone, of a container's own making, or with a password.
LEFT_OUT = (
    "MONGODB_URL", "RABBITMQ_URL", "RABBITMQ_STREAM_URL", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "LISTEN_HOST",
    "LISTEN_PORT", "ALLOWED_HOSTS", "LOCAL_PORT", "VENV", "PYTHON", "RETRAIN_SCHEDULE", "DRIFT_SCHEDULE",
    "SENTIMENT_CACHE",
)  # fmt: skip


def files() -> Mapping[Path, str]:
    """Return the files, each with what is to be in it."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    return {
        CHART / "values.schema.json": json.dumps(_schema(text)) + "\n",
        CHART / "files" / "mongodb-roles.json": json.dumps(mongodb_roles(DATABASE)) + "\n",
        CHART / "files" / "secrets.json": json.dumps(OF_CLUSTER) + "\n",
    }


def settings(text: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Return the settings of a chart that the page of the configuration has, each with its schema."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for names, default, what in re.findall(r"^\| (`[A-Z][^|]*) \| ([^|]*) \| ([^|\n]*)", section, re.MULTILINE):
            name = re.findall(r"`([A-Z0-9_]+)`", names)[0]
            if name in OTHERS or (title in SECTIONS and name not in LEFT_OUT):
                plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", what).split(". ")[0].replace("`", "")
                yield name, {**_type(name, default), "description": plain.strip()}


def _type(name: str, default: str) -> dict[str, object]:
    """Return the schema of a value: a number may be in quotes, and no word may be taken for a truth value."""
    is_number = name.endswith(("_BYTES", "_SECONDS")) or re.match(r"`[0-9.]+`", default)
    return {"type": ["number", "string"], "pattern": "^[0-9.]*$"} if is_number else {"type": "string"}


def _schema(text: str) -> dict[str, object]:
    def choice(*names: str) -> dict[str, object]:
        return {"enum": names}

    def closed(**properties: object) -> dict[str, object]:
        return {"type": "object", "additionalProperties": False, "properties": properties}

    name, quantity, flag = {"type": "string"}, {"type": ["string", "number"]}, {"type": "boolean"}
    whole = {"type": "integer", "minimum": 1}
    node = {"cpu": quantity, "memory": quantity, "storage": quantity}
    images = ("rabbitmq", "mongodb", "minio", "prometheus", "cronConnector")
    digest = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **closed(
            **{"global": {"type": "object"}},
            registry=name,
            tag={"type": "string", "minLength": 1},
            digests=closed(bridge=digest, bootstrap=digest),
            settings=closed(**dict(settings(text))),
            credentials={"type": "object", "additionalProperties": name},
            servers=closed(
                s3=choice("chart", "external"),
                mongodb=choice("operator", "chart", "external"),
                rabbitmq=choice("operator", "chart", "external"),
            ),
            openfaas=closed(namespace=name, functionNamespace=name),
            cronConnector=flag,
            prometheus=flag,
            bridge=closed(minReplicas=whole, autoscaler=choice("cpu", "keda"), prometheusUrl=name, cpu=quantity),
            rabbitmq=closed(nodes=whole, **node),
            mongodb=closed(nodes=whole, **node),
            minio=closed(**node),
            bootstrap=closed(cpu=quantity, memory=quantity),
            images=closed(**dict.fromkeys(images, name)),
        ),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
