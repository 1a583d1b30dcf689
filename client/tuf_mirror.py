# SPDX-License-Identifier: Apache-2.0
"""Fetches a TUF repository into the cache. The work is python-tuf's: the order of the roles, thresholds, rollback, expiry.

Trust begins with a root that the user names by file or fingerprint; there is no first use.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import ssl
import tempfile
import urllib.error
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from client.files import save_whole
from client.root import load_trusted_root
from client.tuf_cache import CONFIG, POLICY, ROOT, STATE, TufCache
from client.tuf_fetching import TIMEOUT_S, Fetcher, TooSlow
from client.tuf_folder import FolderFetcher, folder_of
from sigcore import limits, x509
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.strict import encode_time, shown


@contextmanager
def _in_our_words(mirror: str) -> Iterator[None]:
    try:
        yield
    except (RepositoryError, DownloadLengthMismatchError) as error:
        raise Refused(
            f"the TUF repository {mirror} does not verify: {error}",
            "is the root that of this mirror, is the clock right, and is the repository kept up to date? What is older than "
            "what this cache has seen is refused, also by sigbox initialize",
        ) from error
    except DownloadError as error:
        raise _unreached(mirror, error) from error


def _unreached(mirror: str, error: DownloadError) -> Unavailable:
    """In the words that every other service gets: of the name, of whoever should listen, of the certificate's authority."""
    if folder_of(mirror) is not None:
        hint = "is it the whole folder, as a mirror serves it, and may you read it?"
        return Unavailable(f"the TUF repository {mirror} is not there: {error}", hint)
    cause: BaseException | None = error.__cause__
    reason = cause.reason if isinstance(cause, urllib.error.URLError) else cause
    if isinstance(reason, TooSlow):
        return Unavailable(f"the TUF mirror {mirror} is too slow: {reason}", "try again later, or another mirror")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Unavailable(
            f"the TUF mirror {mirror} shows a TLS certificate by {shown(_issuer_at(mirror) or 'an unknown authority')}, "
            f"which is not trusted here: {reason.verify_message}",
            "name the file of that authority with --ca-file, or in SSL_CERT_FILE; check it first with whoever runs the mirror",
        )
    if isinstance(reason, socket.gaierror):
        why = f"its name has no address (DNS: {reason.strerror})"
    elif isinstance(reason, OSError) and reason.errno is not None:
        why = os.strerror(reason.errno).lower()
    else:
        why = f"{error}" + (f" ({reason})" if reason is not None else "")
    return Unavailable(f"the TUF mirror {mirror} does not answer: {why}", "is the URL right, and does the stack run?")


def _issuer_at(mirror: str) -> str:
    """Who issued the certificate that is shown there. A second connection, on which nothing is believed."""
    parts = urlsplit(mirror)
    try:
        pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 443), timeout=TIMEOUT_S)
        issuer = x509.parse_certificates_pem(pem.encode("ascii"), what="the certificate")[0].issuer
    except (OSError, SigError):
        return ""
    return x509.common_name(issuer) or x509.organization(issuer)


def trust_for(ca_file: str | None) -> ssl.SSLContext | None:
    """What https connections trust; None is the system's authorities, and ``SSL_CERT_FILE``.

    Raises:
        NotFound: no such file. Malformed: it holds no certificate.
    """
    if ca_file is None:
        return None
    # Deferred: a mirror over http needs none of it.
    from client.transport import tls_context  # noqa: PLC0415 - see the line above

    return tls_context(ca_file)


def check_mirror(url: str, *, folders: bool = False) -> str:
    """``url`` without its last slash; Malformed where it is neither http nor https nor, with ``folders``, ``file:///path``."""
    mirror = url.rstrip("/")
    if not url.startswith(("https://", "http://")) and not (folders and folder_of(mirror)):
        expected = "an http or https URL" + (", or file:///path of a folder" if folders else "")
        raise Malformed(f"the mirror is {shown(url)}, expected {expected}")
    return mirror


@contextmanager
def _fetching(mirror: str, tls: ssl.SSLContext | None) -> Iterator[FetcherInterface]:
    folder = folder_of(mirror)
    if folder is not None:
        yield FolderFetcher(mirror, folder)
        return
    with closing(Fetcher(tls)) as fetcher:
        yield fetcher


def fetch_first_root(mirror: str, checksum: str, tls: ssl.SSLContext | None) -> bytes:
    """The mirror's ``1.root.json``, which must have the SHA-256 ``checksum`` (hexadecimal).

    Raises:
        Unavailable: no answer. Refused: another root.
    """
    with _in_our_words(mirror), _fetching(mirror, tls) as fetcher:
        data = fetcher.download_bytes(f"{mirror}/1.root.json", limits.TRUSTED_ROOT)
    return check_root(data, checksum)


def check_root(data: bytes, checksum: str) -> bytes:
    """``data`` if SHA-256 of it is ``checksum``; Refused otherwise."""
    found = hashlib.sha256(data).hexdigest()
    if found != checksum.lower():
        raise Refused(
            f"the TUF root has the SHA-256 {found}, expected {shown(checksum, 80)}",
            "ask whoever runs the mirror, over a way that you trust, which one is right",
        )
    return data


def initialize(
    folder: str, mirror: str, root: bytes, tls: ssl.SSLContext | None, *, fetcher: FetcherInterface | None = None
) -> TufCache:
    """A new cache of ``mirror``, trusted from ``root`` on, in the place of what was there.

    1. Fetch and verify everything in a folder beside it. What was there of the same repository must not be newer: whoever
       serves an old state could else wait for somebody who initializes again.
    2. Put that in its place, in turns with other processes. Who is killed between the two renames leaves the old one as
       ``NAME.replaced``; the next one puts it back first.

    With a ``fetcher`` nothing is asked of the mirror itself.

    Raises:
        Unavailable: no answer. Refused: something does not verify, has expired, or is older than what was there. Malformed: the
            trusted root is none.
    """
    target = Path(folder)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _put_back(target)
    fresh = Path(tempfile.mkdtemp(prefix=".tuf-", dir=target.parent))
    try:
        if _knows(target, root):
            shutil.copytree(target, fresh, symlinks=True, dirs_exist_ok=True)
        cache = _update(str(fresh), mirror, root, tls, fetcher)  # 1
        _put_in_place(fresh, target)  # 2
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return TufCache(folder, mirror, cache.expires, ours=True)


def _replaced(target: Path) -> Path:
    return target.with_name(f"{target.name}.replaced")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _put_back(target: Path) -> None:
    """What was there before, where somebody was killed between the two renames of :func:`_put_in_place`."""
    with _alone(target.parent):
        if _replaced(target).exists() and not target.exists():
            _replaced(target).rename(target)


def _put_in_place(fresh: Path, target: Path) -> None:
    with _alone(target.parent):
        shutil.rmtree(_replaced(target), ignore_errors=True)
        if target.exists():
            target.rename(_replaced(target))
        fresh.rename(target)
        shutil.rmtree(_replaced(target), ignore_errors=True)


def _knows(cache: Path, root: bytes) -> bool:
    """Whether ``root`` is one of those that a cache has walked: it is of the same repository."""
    try:
        return any(path.read_bytes() == root for path in (cache / "metadata" / "root_history").glob("*.root.json"))
    except OSError:
        return False


def refresh(cache: TufCache, tls: ssl.SSLContext | None = None) -> TufCache:
    """The cache with what the mirror has today. Errors as :func:`initialize`."""
    return _update(cache.folder, cache.mirror, None, tls)


def _update(
    folder: str,
    mirror: str,
    root: bytes | None,
    tls: ssl.SSLContext | None,
    given: FetcherInterface | None = None,
) -> TufCache:
    place = Path(folder)
    metadata, targets = place / "metadata", place / "targets"
    for made in (metadata, targets):
        made.mkdir(mode=0o700, exist_ok=True)
    with _in_our_words(mirror), _fetching(mirror, tls) as fetcher:
        updater = Updater(str(metadata), mirror, str(targets), f"{mirror}/targets", given or fetcher, bootstrap=root)
        updater.refresh()
        # All of them before the first is put in place: they belong together, and a mirror may hold one back.
        arrived: dict[str, bytes | None] = {}
        for name in (ROOT, CONFIG, POLICY):
            info = updater.get_targetinfo(name)
            if info is None:
                arrived[name] = None
            elif updater.find_cached_target(info) is None:
                # python-tuf writes into the file itself: whoever reads it meanwhile, or after a kill, has a part of it.
                arriving = targets / f".{name}.arriving"
                updater.download_target(info, os.fspath(arriving))
                arrived[name] = arriving.read_bytes()
                arriving.unlink()
        for name, data in arrived.items():
            if data is None:
                (targets / name).unlink(missing_ok=True)
            else:
                save_whole(data, targets / name, what=f"the TUF target {name}")
    load_trusted_root(targets / ROOT)
    cache = TufCache(folder, mirror, _first_expiry(metadata), ours=True)
    state = json.dumps({"mirror": mirror, "expires": encode_time(cache.expires)}).encode("utf-8")
    save_whole(state, place / STATE, what="the TUF cache's state", mode=0o600)
    return cache


def _first_expiry(metadata: Path) -> datetime:
    """Of all roles, delegated ones too."""
    expiries = [Metadata.from_file(os.fspath(file)).signed.expires for file in metadata.glob("*.json")]
    return min(moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in expiries)
