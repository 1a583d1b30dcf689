# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust export`` and ``import``: the trust root as one file, carried to machines that reach no mirror."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from client.tuf_cache import POLICY, TufCache, cache_folder
from client.tuf_kit import PLAIN, encode_kit, install_kit, parse_kit
from sigcore import limits
from sigcore.strict import encode_time
from stack.cli.usage import verifying
from stack.config import home_at, load_settings
from stack.files import load_file, save_file
from stack.trust.kit import collect_kit
from stack.trust.serving import fingerprint


def run_export(options: argparse.Namespace) -> int:
    """Write the kit, which was imported for a try before."""
    home = home_at(options.data)
    kit, first = collect_kit(home, load_settings(home)), fingerprint(home)
    with tempfile.TemporaryDirectory(prefix="sigbox-kit-") as folder:
        cache = install_kit(f"{folder}/tuf", kit, first)
    save_file(options.kit, encode_kit(kit))
    until = encode_time(cache.expires)
    if options.json:
        print(json.dumps({"kit": str(options.kit), "fingerprint": first, "expires": until}, indent=2))
    else:
        print(f"{options.kit} has the trust root of {kit.mirror}, good until {until}; then carry over another one")
        print("on each machine, with the fingerprint from elsewhere than the kit:")
        print(f"  sigbox trust import {options.kit.name} --fingerprint {first}")
    return 0


def run_import(options: argparse.Namespace) -> int:
    """Verify, keep, and say how each client uses it."""
    kit = parse_kit(load_file(options.kit, what="the kit", limit=limits.TRUST_KIT, pipe=True))
    with verifying():
        cache = install_kit(cache_folder(os.environ), kit, options.fingerprint)
    folder = _keep_plain(cache)
    if options.json:
        report = {
            "mirror": cache.mirror,
            "folder": cache.folder,
            "expires": encode_time(cache.expires),
            "files": str(folder),
        }
        print(json.dumps(report, indent=2))
    else:
        print("\n".join((*_lines(folder), *_unpacked_lines(options.kit.absolute(), options.fingerprint))))
    sys.stderr.write(f"trust is that of {cache.mirror}, good until {encode_time(cache.expires)}\n")
    return 0


def _keep_plain(cache: TufCache) -> Path:
    """The documents as files, for clients that take no cache: made of what was verified."""
    # Deferred: only here documents are made.
    from client.trust import load_trust  # noqa: PLC0415 - see the line above
    from sigcore.signing_config import encode_signing_config, encode_trust_config  # noqa: PLC0415 - the same
    from sigcore.trustroot import encode_trusted_root  # noqa: PLC0415 - the same

    files = cache.files()
    trust = load_trust(trusted_root=files["trusted_root"], signing_config=files.get("signing_config"))
    folder = Path(cache.folder)
    contents = (
        encode_trusted_root(trust.root),
        encode_signing_config(trust.config),
        encode_trust_config(trust.root, trust.config),
    )
    for name, content in zip(PLAIN, contents, strict=True):
        save_file(folder / name, content, durable=False)
    return folder


def _lines(folder: Path) -> list[str]:
    """Without a network: who signs needs one."""
    root, config, both = (folder / name for name in PLAIN)
    who = "--certificate-identity IDENTITY --certificate-oidc-issuer ISSUER"
    policed = (folder / "targets" / POLICY).exists()
    return [
        "# sigbox; the kit has a policy, which says who may sign" if policed else "# sigbox",
        "sigbox verify-blob FILE" if policed else f"sigbox verify-blob FILE {who}",
        "# cosign (signing: also --signing-config " + str(config) + ")",
        f"cosign verify-blob --trusted-root {root} --bundle FILE.sigstore.json {who} FILE",
        "# sigstore-python",
        f"sigstore --trust-config {both} verify identity --cert-identity IDENTITY --cert-oidc-issuer ISSUER FILE",
        "# gitsign and sigstore-js take trust from a TUF mirror only: serve the kit's folder tuf/ by any file server,",
        "# at the URL of kit.json, and give them its 1.root.json",
    ]


def _unpacked_lines(kit: Path, fingerprint: str) -> list[str]:
    """The kit as a folder that is a mirror. cosign's ``initialize`` takes no trusted root from one, whatever its help says."""
    mirror, folder = f"file://{quote(str(kit.parent))}/tuf", shlex.quote(str(kit.parent))
    return [
        "# other accounts here, and machines that see this folder: the TUF repository unpacked, checked in the same way",
        f"tar -x -f {shlex.quote(str(kit))} -C {folder} tuf",
        f"sigbox initialize --mirror {mirror} --root-checksum {fingerprint}",
        "# (cosign initialize takes a trusted root over http and https only: give cosign the files, as above)",
    ]
