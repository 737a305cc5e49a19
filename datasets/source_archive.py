"""Saves a package's source archive as pip finds it, and runs nothing of it: source_archive.py NAME VERSION SHA256 FILE.

`pip download` would have the archive tell its name and version, by running its setup.py with whichever setuptools the
index has. This is that command, up to there: the index, its mirror, certificates, proxies and passwords are those that
pip is set up for. Since that takes pip's own modules, which may change, it is a program of its own: where they have
changed it fails, and nothing else does.
"""

import sys
from optparse import Values
from pathlib import Path

from pip._internal.cli.status_codes import SUCCESS
from pip._internal.commands.download import DownloadCommand
from pip._internal.exceptions import DistributionNotFound
from pip._internal.utils.hashes import Hashes
from pip._vendor.packaging.specifiers import SpecifierSet

MAX_BYTES = 10_000_000


class SourceArchive(DownloadCommand):
    """`pip download`, of one source archive."""

    def run(self, options: Values, args: list[str]) -> int:
        """Write the archive, or what the index gives in its place, into a file; whoever asked checks its SHA-256."""
        name, version, sha256, file = args
        options.format_control.disallow_binaries()
        session = self.get_default_session(options)
        finder = self._build_package_finder(options, session)
        found = finder.find_best_candidate(name, SpecifierSet(f"=={version}"), Hashes({"sha256": [sha256]}))
        if found.best_candidate is None:
            raise DistributionNotFound(f"no index that answers has a source archive of {name} {version}")
        url = found.best_candidate.link.url_without_fragment
        # As it is, where the server could else say that it is compressed once more.
        with session.get(url, headers={"Accept-Encoding": "identity"}, stream=True) as response:
            response.raise_for_status()
            Path(file).write_bytes(response.raw.read(MAX_BYTES))
        return SUCCESS


if __name__ == "__main__":
    sys.exit(SourceArchive("download", "").main(["--quiet", *sys.argv[1:]]))
