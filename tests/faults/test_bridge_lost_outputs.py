"""The bridge's own streams, and the place in the database where it notes how far it is, are lost while it runs."""

import json
from collections import Counter as Counts
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from deploy.runner import wait_until
from records import Records
from tests.integration.test_bridge import GOOD, bridge, client, environment, gateway_url, source_of, wait_for_offset
from tests.system import Client

__all__ = ["client", "environment", "gateway_url"]  # fixtures
BAD = b'{"text": 7}'


def offsets(client: Client, stream: str) -> list[int]:
    return [json.loads(body)["offset"] for _, body in client.read_stream(stream)]


@pytest.mark.parametrize("deleted", [["rejected"], ["predictions"], ["predictions", "rejected"]], ids="+".join)
def test_a_stream_of_its_own_that_is_deleted_is_declared_again_and_gets_all_that_follows(
    deleted: list[str],
    environment: Mapping[str, str],
    client: Client,
    records: Records,
    gateway_url: str,
    tmp_path: Path,
) -> None:
    source = source_of(environment)
    with bridge({**environment, "BRIDGE_LABELS": ""}, gateway_url, tmp_path):
        client.publish(source, [GOOD, BAD])
        wait_for_offset(records, source, 1, 20)
        for name in deleted:
            client.channel.queue_delete(name)
        client.publish(source, [GOOD, BAD] * 500)
        wait_for_offset(records, source, 1_001, 40)
    kept = {name: [] if name in deleted else [number] for number, name in enumerate(["predictions", "rejected"])}
    found = offsets(client, "predictions")
    assert_same(found, [*kept["predictions"], *range(2, 1_002, 2)])
    assert found == sorted(found)
    # It may get some twice, but misses none.
    assert_same(sorted({*offsets(client, "rejected")}), [*kept["rejected"], *range(3, 1_002, 2)])


def assert_same(found: list[int], expected: list[int]) -> None:
    """Compare two lists of offsets; where they differ, only that is shown, which is short enough for a log."""
    missing, unexpected = Counts(expected) - Counts(found), Counts(found) - Counts(expected)
    assert (sorted(missing.elements()), sorted(unexpected.elements())) == ([], [])


def reaches(records: Records, source: str, offset: int) -> bool:
    return (records.offset(source) or 0) >= offset


def test_a_stream_of_its_own_that_is_deleted_again_and_again_under_load_comes_back_each_time(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    source = source_of(environment)
    count = 0
    with bridge({**environment, "BRIDGE_LABELS": "", "BRIDGE_BATCH_MESSAGES": "20"}, gateway_url, tmp_path) as process:
        for _ in range(5):
            client.publish(source, [GOOD, BAD] * 200)
            assert wait_until(partial(reaches, records, source, count + 50), 20)
            count += 400
            for name in ("rejected", "predictions"):
                client.channel.queue_delete(name)
        client.publish(source, [GOOD, BAD])
        wait_for_offset(records, source, count + 1, 60)
        assert process.poll() is None
    assert offsets(client, "predictions")[-1] == count
    assert count + 1 in offsets(client, "rejected")
    assert records.database["predictions"].count_documents({}) == count // 2 + 1


def documents(records: Records) -> dict[str, list[dict[str, object]]]:
    return {name: list(records.database[name].find()) for name in ("predictions", "offsets")}


@pytest.mark.parametrize("while_busy", [False, True], ids=["idle", "busy"])
def test_a_database_that_is_restored_from_a_backup_gets_all_that_came_since(
    while_busy: bool, environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    source = source_of(environment)
    with bridge({**environment, "BRIDGE_LABELS": "", "BRIDGE_BATCH_MESSAGES": "20"}, gateway_url, tmp_path) as process:
        client.publish(source, [GOOD] * 100)
        wait_for_offset(records, source, 99, 20)
        backup = documents(records)
        client.publish(source, [GOOD] * 900)
        if while_busy:
            assert wait_until(partial(reaches, records, source, 300), 20)
        else:
            wait_for_offset(records, source, 999, 20)
        for name, found in backup.items():
            records.database[name].delete_many({})
            records.database[name].insert_many(found)
        client.publish(source, [GOOD] * 10)
        wait_for_offset(records, source, 1_009, 20)
        assert process.poll() is None
    assert {document["_id"] for document in documents(records)["predictions"]} == {
        f"{source}:{number}" for number in range(1_010)
    }
    assert offsets(client, "predictions") == [*range(1_010)]


def test_a_database_that_is_dropped_gets_all_that_the_stream_has(
    environment: Mapping[str, str], client: Client, records: Records, gateway_url: str, tmp_path: Path
) -> None:
    source = source_of(environment)
    with bridge({**environment, "BRIDGE_LABELS": ""}, gateway_url, tmp_path) as process:
        client.publish(source, [GOOD] * 500)
        wait_for_offset(records, source, 499, 20)
        records.database.client.drop_database(records.database.name)
        client.publish(source, [GOOD] * 10)
        wait_for_offset(records, source, 509, 20)
        assert process.poll() is None
    assert records.database["predictions"].count_documents({}) == 510
    assert offsets(client, "predictions") == [*range(510)]
