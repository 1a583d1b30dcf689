# SPDX-License-Identifier: Apache-2.0
"""A TUF repository in a folder: a mirror that was carried over, named by ``file:///path``.

It is verified as one over HTTP is: where the bytes come from changes nothing, and a folder is believed no more than a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

SCHEME: Final = "file://"
_CHUNK: Final = 65536


def folder_of(mirror: str) -> Path | None:
    """The folder that ``file:///path`` means, percent signs as in any URL; None for everything else, ``file://host/...`` too."""
    return Path(unquote(mirror.removeprefix(SCHEME))) if mirror.startswith(f"{SCHEME}/") else None


class FolderFetcher(FetcherInterface):
    """Reads plain files in the folder, and nothing outside it, be a link or a name in the metadata the way there."""

    def __init__(self, mirror: str, folder: Path) -> None:
        self._mirror = mirror
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = unquote(url.removeprefix(f"{self._mirror}/"))
        try:
            if not self._folder.is_dir():
                raise DownloadError(f"{self._folder} is no folder")
            path = (self._folder / name).resolve()
            if not path.is_relative_to(self._folder.resolve()) or not path.is_file():
                raise DownloadHTTPError(f"there is no file {name!a} in it", 404)
            return _chunks(path)
        except (OSError, ValueError) as error:
            raise DownloadError(f"{name!a} cannot be read: {error}") from error


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise DownloadError(f"{path.name!a} cannot be read: {error}") from error
