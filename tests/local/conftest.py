"""The local stack that runs in a copy of the project: one for all tests here."""

from collections.abc import Iterator

import pytest

from tests.project import Project, running_stack


@pytest.fixture(scope="package")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the project whose local stack runs, with all of its parts."""
    with running_stack(tmp_path_factory.mktemp("local")) as project:
        yield project
