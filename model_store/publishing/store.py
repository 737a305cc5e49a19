"""The model store: immutable versions, and a pointer to the served one, moved by a conditional write."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from contracts.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    Period,
    Promotion,
    StatisticsDocument,
    read_promotion,
    read_statistics_document,
)
from model_store.current import CurrentReader
from model_store.errors import (
    CurrentRefused,
    InvalidDocument,
    ObjectTooLarge,
    PromotionConflict,
    StoreError,
    VersionExists,
    VersionNotFound,
)
from model_store.layout import (
    CURRENT_KEY,
    MAX_DOCUMENT_BYTES,
    PROMOTIONS_PREFIX,
    STATISTICS_PREFIX,
    VERSIONS_PREFIX,
    Current,
    check_name,
    next_promotion,
    promotion_key,
    read_document,
    to_bytes,
    version_key,
)
from model_store.publishing.objects import Listed, Objects, client
from model_store.publishing.probe import check_conditional_writes
from model_store.publishing.remembered import Remembered
from model_store.settings import Settings
from model_store.trust import EVERYBODY, UNSIGNED, Signer, Trust, signer, trust
from model_store.versions import load_artifact, load_manifest, load_parts, manifest_content, manifest_of
from sentiment.artifact import MAX_BYTES, REFERENCE_PART, Artifact, ArtifactError, check_format, part_of
from sentiment.packing import repack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A version without manifest may be one that is being written; after this long nobody writes it any more.
ABANDONED_AFTER = timedelta(days=1)
PROMOTIONS_SHOWN = 100
MAX_STATISTICS_BYTES = MAX_BYTES[REFERENCE_PART]


@dataclass(frozen=True)
class Statistics:
    """`content` as it was kept, and the period of the texts that it was made of."""

    content: bytes
    about: Period


class VersionInfo(Struct, frozen=True, kw_only=True):
    """A version as listed; one without a good manifest has None there, and the reason in `problem`."""

    version: str
    written_at: datetime
    size_bytes: int
    manifest: Manifest | None
    problem: str | None


class ModelStore:
    """Versions of a model in one bucket, and which of them is served.

    Every method raises StoreUnavailable when the store can't be reached and StoreDenied when it refuses the
    keys; both are StoreErrors, as is all else that is said to be raised here, but for ArtifactError, which
    says that a version's content is wrong, or not signed by whom it should be.
    """

    def __init__(self, client: "S3Client", bucket: str, *, trust: Trust = EVERYBODY, signer: Signer = UNSIGNED) -> None:
        """trust: whose versions and promotions are read; signer: in whose name they are written."""
        self._objects = Objects(client, bucket)
        self._trust = trust
        self._signer = signer
        self._current = CurrentReader(trust)
        self._infos = Remembered[Mapping[str, Listed], VersionInfo]()
        self._promotions = Remembered[Listed, Promotion]()
        self._log_is_known_to = ""

    @classmethod
    def from_environment(cls) -> "ModelStore":
        """Return the store that the environment describes; see `Settings` and `trust`. Raises SettingsError."""
        settings = Settings()
        return cls(client(settings), settings.bucket, trust=trust(), signer=signer())

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there."""
        self._objects.ensure_bucket()

    def check_conditional_writes(self) -> None:
        """Raise ConditionalWritesIgnored unless the store honours them, one by one and side by side."""
        check_conditional_writes(self._objects)

    def publish(self, artifact: Artifact, version: str | None = None) -> str:
        """Write a new version, not yet served, and return its id.

        The id is the time (UTC) and a hash of the content, unless `version` is given. The manifest is
        written last: without it a version does not count. Publishing the same content again under the same
        id is fine, so a publisher that was killed can start over; other content raises VersionExists.
        """
        artifact.verify()
        manifest = artifact.manifest.to_bytes()
        if version is None:
            version = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{hashlib.sha256(manifest).hexdigest()[:8]}"
        self._put(version, {**artifact.parts, **self._signer.sign_version(version, manifest), MANIFEST: manifest})
        return version

    def sign(self, version: str) -> None:
        """Sign a version on the caller's word, whoever made it, after its parts have been checked.

        Raises VersionNotFound, ArtifactError, and StoreError where there is no key.
        """
        content = manifest_content(self._objects.get, version)
        signatures = self._signer.sign_version(version, content)
        if not signatures:
            raise StoreError("nothing can be signed without a key: set MODEL_SIGNING_KEY")
        manifest = manifest_of(version, content)
        load_parts(self._objects.get, version, manifest, manifest.parts)
        self._put(version, signatures)

    def load(self, version: str) -> Artifact:
        """Return a version; raises VersionNotFound, or ArtifactError where it differs from its manifest."""
        artifact = load_artifact(self._objects.get, version, self._trust)
        check_format(artifact.manifest)
        return artifact

    def algorithm(self, version: str) -> str:
        """Return the trainer that a version is of, by its name; raises VersionNotFound, ArtifactError."""
        return load_manifest(self._objects.get, version, self._trust).algorithm

    def current(self) -> Current | None:
        """Return what is served, None before the first promotion; raises CurrentRefused."""
        known = self._current.newest
        stored = self._objects.get(CURRENT_KEY, MAX_DOCUMENT_BYTES)
        return self._current.read(stored, known) if stored else None

    def promote(self, version: str, *, expected: Current | CurrentRefused | None, by: str, reason: str) -> Current:
        """Serve `version` in place of `expected`, which is what `current` returned or raised.

        The version is loaded and its hashes are checked first. Then one conditional write decides: of two
        promoters one wins, the other gets PromotionConflict. The promotion is part of current.json; its copy
        in the log is written after, and by the next promotion where this one was cut off in between.
        Promoting what is served already changes nothing. A version of an earlier format is packed again first, and
        what is served is its successor.
        """
        version = self._in_this_format(version)
        if isinstance(expected, Current) and expected.version == version:
            return self._unchanged(expected)
        return self._move(version, expected, by, reason)

    def sign_current(self, found: Current | CurrentRefused, *, by: str) -> Current:
        """Sign what is served, and its promotion, on the caller's word; `found` is what `current` returned or raised.

        So it is taken by those who trust another key than the one that signed it, if any did. Raises `found` where it
        names no version, and what `sign` and `promote` raise.
        """
        if found.version is None:
            raise found
        self.sign(found.version)
        return self._move(self._in_this_format(found.version), found, by, "signed")

    def serve(self, version: str, *, by: str, reason: str) -> Current:
        """Promote a version whatever is served, also in the place of a current.json that is refused."""
        try:
            expected: Current | CurrentRefused | None = self.current()
        except CurrentRefused as refused:
            expected = refused
        return self.promote(version, expected=expected, by=by, reason=reason)

    def upgrade(self, current: Current, *, by: str) -> Current | None:
        """Serve what is served in this release's format; None where it is in it already. Raises what `promote` does."""
        if load_manifest(self._objects.get, current.version, self._trust).format >= FORMAT:
            return None
        reason = f"{current.version} is of an earlier format: packed again"
        return self.promote(current.version, expected=current, by=by, reason=reason)

    def rollback(self, to: str | None = None, *, by: str, reason: str) -> Current:
        """Serve the version `to`, by default the one that was served before the present one.

        Raises VersionNotFound where there is none, CurrentRefused where it can't be known, and what `promote` raises.
        """
        if to is not None:
            return self.serve(to, by=by, reason=reason)
        current = self.current()
        if current is None or current.promotion.previous is None:
            raise VersionNotFound("no version was served before the present one")
        return self.promote(current.promotion.previous, expected=current, by=by, reason=reason)

    def versions(self, newest: int | None = None) -> list[VersionInfo]:
        """Return all versions, or the `newest`, oldest first, those marked that can't be served; parts are not read.

        What was read at an earlier call, and has not changed since, is not read again.
        """
        by_age = sorted(self._files().items(), key=lambda item: (_written_at(item[1]), item[0]))
        return self._infos.made(dict(by_age[-newest:] if newest else by_age), self._info)

    def history(self) -> list[Promotion]:
        """Return the last PROMOTIONS_SHOWN promotions, newest first; raises InvalidDocument.

        What was read at an earlier call is not read again, and no older part of the log listed.
        """
        entries = self._newest_of_log()
        with suppress(CurrentRefused):
            current = self.current()
            if current and promotion_key(current.promotion) not in entries:
                self._log(current.promotion)
                entries = self._newest_of_log()
        return self._promotions.made(entries, self._promotion)[::-1]

    def put_statistics(self, version: str, name: str, statistics: Statistics) -> None:
        """Keep statistics beside a version, such as a reference of live texts, in the place of those under `name`.

        Of two that do so at once, one's stay.
        """
        part = part_of(statistics.content)
        key = _statistics_key(version, f"{name}.json")
        before = self._objects.get(key, MAX_DOCUMENT_BYTES)
        self._objects.put_if(_statistics_key(version, f"{part.sha256}.npz"), statistics.content, etag=None)
        # Written last: it names the content by its hash. What was there may be being read: it goes with the version.
        document = StatisticsDocument(part.sha256, part.size_bytes, statistics.about)
        self._objects.put_if(key, to_bytes(document), etag=before.etag if before else None)

    def statistics(self, version: str, name: str) -> Statistics | None:
        """Return the statistics kept beside a version under `name`, if any; raises InvalidDocument."""
        key = _statistics_key(version, f"{name}.json")
        stored = self._objects.get(key, MAX_DOCUMENT_BYTES)
        if stored is None:
            return None
        document = read_document(read_statistics_document, stored.content, key)
        max_bytes = min(document.size_bytes, MAX_STATISTICS_BYTES)
        content = self._objects.get(_statistics_key(version, f"{document.sha256}.npz"), max_bytes)
        if content is None or part_of(content.content).sha256 != document.sha256:
            raise InvalidDocument(f"{key} names statistics that are gone or damaged; delete it to have them made again")
        return Statistics(content.content, document.about)

    def prune(self, keep: int = 10) -> list[str]:
        """Delete all but the newest `keep` versions, and return which.

        The served version and the one before it always stay. Versions that are half-written and older than a
        day go too. A manifest goes first, so that a version that is half-deleted does not count as one. The
        statistics kept beside a version go with it.
        """
        if keep < 0:
            raise ValueError(f"keep must be 0 or more, not {keep}")
        served = self.current()
        kept = {served.version, served.promotion.previous} if served else set()
        files = self._files()
        complete = sorted(
            (version for version in files if MANIFEST in files[version]),
            key=lambda version: (files[version][MANIFEST].written_at, version),
        )
        kept.update(complete[len(complete) - keep :] if keep else [])
        abandoned = datetime.now(UTC) - ABANDONED_AFTER
        doomed = [
            version
            for version, named in files.items()
            if version not in kept and (MANIFEST in named or _written_at(named) < abandoned)
        ]
        for version in doomed:
            for name in sorted(files[version], key=lambda name: name != MANIFEST):
                self._objects.delete(files[version][name].key)
        for entry in self._objects.list(STATISTICS_PREFIX):
            version, _, _ = entry.key.removeprefix(STATISTICS_PREFIX).partition("/")
            if version not in files or version in doomed:
                self._objects.delete(entry.key)
        return doomed

    def _move(self, version: str, expected: Current | CurrentRefused | None, by: str, reason: str) -> Current:
        """Write current.json and the log; raises PromotionConflict."""
        last = None
        if isinstance(expected, Current):
            last = expected.promotion
            self._log(last)
        elif expected is not None:
            last = self._current.newest
        promotion = next_promotion(last, version=version, by=by, reason=reason)
        content = Current.to_bytes(promotion, self._signer)
        etag = self._objects.put_if(CURRENT_KEY, content, etag=expected.etag if expected else None)
        if etag is None:
            winner = self.current()
            # The write may have been ours: when its answer is lost, the client sends it again, in vain.
            if winner is None or winner.promotion != promotion:
                raise PromotionConflict(version, winner)
            etag = winner.etag
        self._log(promotion)
        return Current(version, etag, promotion)

    def _in_this_format(self, version: str) -> str:
        """Return the id of a version whose parts are whole, of its successor where it is of an earlier format."""
        artifact = load_artifact(self._objects.get, version, self._trust)
        if artifact.manifest.format < FORMAT:
            return self.publish(repack(artifact, version))
        check_format(artifact.manifest)
        return version

    def _newest_of_log(self) -> dict[str, Listed]:
        """Return the last entries of the log by key, oldest first."""
        listed = self._objects.list(PROMOTIONS_PREFIX, after=self._log_is_known_to)
        if len(listed) > PROMOTIONS_SHOWN:  # entries come at the end alone, so what is before these is not needed again
            self._log_is_known_to = listed[-PROMOTIONS_SHOWN - 1].key
        return {entry.key: entry for entry in listed[-PROMOTIONS_SHOWN:]}

    def _promotion(self, key: str, _: Listed) -> Promotion:
        stored = self._objects.get(key, MAX_DOCUMENT_BYTES)
        if stored is None:
            raise InvalidDocument(f"{key} was deleted meanwhile")
        return read_document(read_promotion, stored.content, key)

    def _info(self, version: str, files: Mapping[str, Listed]) -> VersionInfo:
        manifest, problem = None, None
        try:
            manifest = load_manifest(self._objects.get, version, self._trust)
        except VersionNotFound:
            problem = f"half-written: no {MANIFEST}"
        except (ArtifactError, ObjectTooLarge) as error:
            problem = str(error)
        return VersionInfo(
            version=version,
            written_at=_written_at(files),
            size_bytes=sum(file.size_bytes for file in files.values()),
            manifest=manifest,
            problem=problem,
        )

    def _files(self) -> dict[str, dict[str, Listed]]:
        """Return the files of each version, by name."""
        files: dict[str, dict[str, Listed]] = defaultdict(dict)
        for entry in self._objects.list(VERSIONS_PREFIX):
            version, _, name = entry.key.removeprefix(VERSIONS_PREFIX).partition("/")
            files[version][name] = entry
        return files

    def _put(self, version: str, files: Mapping[str, bytes]) -> None:
        """Write files of a version in their order; raises VersionExists where one is there with other content."""
        for name, content in files.items():
            key = version_key(version, name)
            if self._objects.put_if(key, content, etag=None) is None:
                self._check_same(key, content)

    def _check_same(self, key: str, content: bytes) -> None:
        stored = None
        with suppress(ObjectTooLarge):
            stored = self._objects.get(key, len(content))
        if stored is None or stored.content != content:
            raise VersionExists(f"{key} is there already, with other content")

    def _unchanged(self, expected: Current) -> Current:
        winner = self.current()
        if winner != expected:
            raise PromotionConflict(expected.version, winner)
        self._log(expected.promotion)
        return expected

    def _log(self, promotion: Promotion) -> None:
        """Append to the log; an entry that is there already stays."""
        self._objects.put_if(promotion_key(promotion), to_bytes(promotion), etag=None)


def _written_at(files: Mapping[str, Listed]) -> datetime:
    """Return when the last file of a version was written."""
    return max(file.written_at for file in files.values())


def _statistics_key(version: str, file: str) -> str:
    return f"{STATISTICS_PREFIX}{check_name(version)}/{check_name(file)}"
