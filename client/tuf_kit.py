# SPDX-License-Identifier: Apache-2.0
"""A kit: a TUF repository and what is in it as one file, for machines that reach no mirror.

A tar archive of plain files, so that it can be looked into without us:

    kit.json                {"format": "sigbox-kit/1", "mirror": URL}
    trusted_root.json       the same bytes as the TUF targets, for clients that take files
    signing_config.json
    trust_config.json
    tuf/...                 every root, the newest metadata of the other roles, the targets: as the mirror serves them

Nothing in it is believed because it is there: it is verified by python-tuf from the first root on, whose fingerprint the user names.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from client import tuf_mirror
from client.tuf_cache import ROOT, TufCache
from sigcore import limits
from sigcore.errors import Malformed, Refused, Unavailable
from sigcore.strict import Fields, shown
from sigcore.values import dataclass

FORMAT: Final = "sigbox-kit/1"
HEAD: Final = "kit.json"
PLAIN: Final = ("trusted_root.json", "signing_config.json", "trust_config.json")
_METADATA: Final = re.compile(r"tuf/(?:[1-9][0-9]{0,8}\.(?:root|targets|snapshot|policy)|timestamp)\.json\Z", re.ASCII)
_TARGET: Final = re.compile(r"tuf/targets/[0-9a-f]{64}\.[a-z0-9][a-z0-9._-]{0,63}\Z", re.ASCII)
_FIRST_ROOT: Final = "tuf/1.root.json"


@dataclass(frozen=True, slots=True)
class Kit:
    """What a kit says and holds; ``files`` by their names in the archive, without :data:`HEAD`."""

    mirror: str
    files: Mapping[str, bytes]


def encode_kit(kit: Kit) -> bytes:
    """The archive; the same bytes for the same kit."""
    buffer = io.BytesIO()
    head = json.dumps({"format": FORMAT, "mirror": kit.mirror}, indent=2).encode() + b"\n"
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in {HEAD: head, **dict(sorted(kit.files.items()))}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def parse_kit(data: bytes) -> Kit:
    """A kit from its archive; nothing is written anywhere.

    Raises:
        Malformed: no such archive, or something else is in it too.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                known = member.name in (HEAD, *PLAIN) or _METADATA.match(member.name) or _TARGET.match(member.name)
                plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()  # no holes to fill
                if not known or not plain or member.size > len(data) or member.name in files:
                    raise Malformed(f"the kit holds {shown(member.name)}", "no kit of ours does")
                if len(files) == limits.TRUST_KIT_FILES:
                    raise Malformed(f"the kit holds more than {limits.TRUST_KIT_FILES} files")
                content = archive.extractfile(member)
                files[member.name] = content.read() if content else b""
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise Malformed(f"the kit is no archive: {error}", "is it what `sigbox trust export` wrote?") from error
    if not {HEAD, _FIRST_ROOT} <= files.keys():
        raise Malformed(f"the kit lacks {HEAD} or {_FIRST_ROOT}", "is it what `sigbox trust export` wrote?")
    head = Fields.parse(files.pop(HEAD), what=HEAD, limit=limits.TEXT)
    head.only("format", "mirror")
    if head.text("format") != FORMAT:
        raise Malformed(f"the kit has the format {shown(head.text('format'))}, this version knows {FORMAT}")
    return Kit(tuf_mirror.check_mirror(head.text("mirror")), files)


class _KitFetcher(FetcherInterface):
    """A mirror that is a kit."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = f"tuf/{url.removeprefix(f'{self._kit.mirror}/')}"
        if name not in self._kit.files:
            raise DownloadHTTPError(f"the kit holds no {name}", 404)
        return iter((self._kit.files[name],))


def install_kit(folder: str, kit: Kit, fingerprint: str) -> TufCache:
    """The cache in ``folder``, with what the kit says.

    1. The first root has the SHA-256 ``fingerprint`` (hexadecimal).
    2. Everything else verifies from there on, in a folder of its own, and the plain trusted root is the one that was verified.
    3. It is not older than what the cache has from the same root, and takes its place.

    Raises:
        Refused: one of these does not hold, or it has expired. Malformed: something is missing, or the trusted root is none.
    """
    root = tuf_mirror.check_root(kit.files[_FIRST_ROOT], fingerprint)  # 1
    with tempfile.TemporaryDirectory(prefix="sigbox-kit-") as apart:  # 2
        try:
            tuf_mirror.initialize(f"{apart}/tuf", kit.mirror, root, None, fetcher=_KitFetcher(kit))
        except Unavailable as error:
            raise Malformed(f"the kit is not whole: {error.message}", "export it again") from error
        if Path(apart, "tuf", "targets", ROOT).read_bytes() != kit.files.get(ROOT):
            raise Refused(
                f"the kit's {ROOT} is not the one in its TUF repository", "do not use its files; export it again"
            )
    return tuf_mirror.initialize(folder, kit.mirror, root, None, fetcher=_KitFetcher(kit))  # 3
