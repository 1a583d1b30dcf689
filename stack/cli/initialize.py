# SPDX-License-Identifier: Apache-2.0
"""Pin a TUF mirror: fetch what it says is to be trusted, verify it from a root that you name, and keep it.

After that no command needs a trust option. The root is named by file (--root), or by the SHA-256 of the mirror's first root
(--root-checksum), which you have over a way that you trust; both together are checked against each other. Without --mirror the
mirror of last time is asked again. cosign's variables TUF_MIRROR and TUF_ROOT_JSON stand for --mirror and --root.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from client import tuf_mirror
from client.root import read_trust_file
from client.tuf_cache import TufCache, cache_folder, find_cache
from sigcore.strict import encode_time
from stack.cli.fingerprint import given_fingerprint
from stack.cli.usage import Usage, verifying

EXAMPLES = """\
examples:
  sigbox initialize --mirror http://localhost:7780/tuf --root sigbox-data/public/tuf/1.root.json
  sigbox initialize --mirror https://sigstore.corp.example/tuf --root-checksum 7c1d...
  sigbox initialize --mirror file:///media/usb/tuf --root-checksum 7c1d...
  sigbox initialize"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox initialize``."""
    parser.add_argument("--mirror", metavar="URL", help="the TUF repository: https, http, or file:///path")
    parser.add_argument("--root", metavar="FILE", help="the root to trust")
    parser.add_argument("--root-checksum", metavar="SHA256", type=given_fingerprint, help="of the root, in hexadecimal")
    parser.add_argument("--ca-file", metavar="PEM", help="certificate authorities to trust for https")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    """Fetch, verify, keep."""
    with verifying():
        cache = _initialized(options)
    if options.json:
        report = {"mirror": cache.mirror, "folder": cache.folder, "expires": encode_time(cache.expires)}
        print(json.dumps(report, indent=2))
    sys.stderr.write(f"trust is that of {cache.mirror}, good until {encode_time(cache.expires)}\n")
    return 0


def _initialized(options: argparse.Namespace) -> TufCache:
    """Of the mirror and by the root that are named: by options, else by the variables that cosign has for them."""
    tls = tuf_mirror.trust_for(options.ca_file)
    named, named_root = options.mirror or os.environ.get("TUF_MIRROR"), options.root
    if named and not named_root and not options.root_checksum:
        named_root = os.environ.get("TUF_ROOT_JSON")
    rooted = named_root or options.root_checksum
    if options.mirror is None and not rooted:
        known = find_cache(os.environ)
        if known is not None and known.ours:
            return tuf_mirror.refresh(known, tls)
    if not named:
        raise Usage("no mirror is named", "give --mirror URL with --root FILE or --root-checksum SHA256")
    mirror = tuf_mirror.check_mirror(named, folders=True)
    if named_root:
        if named_root.startswith(("http://", "https://")):
            raise Usage(
                "--root is a URL: what is fetched is not trusted on first use",
                "give a file that you have over a way that you trust, or --root-checksum SHA256 alone",
            )
        root = read_trust_file(named_root, "the TUF root")
        if options.root_checksum:
            tuf_mirror.check_root(root, options.root_checksum)
    elif options.root_checksum:
        root = tuf_mirror.fetch_first_root(mirror, options.root_checksum, tls)
    else:
        raise Usage(
            "nothing says which root is right: a mirror is not trusted on first use",
            "give --root FILE or --root-checksum SHA256",
        )
    return tuf_mirror.initialize(cache_folder(os.environ), mirror, root, tls)
