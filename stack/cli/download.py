# SPDX-License-Identifier: Apache-2.0
"""Print what is attached to an image, one JSON document a line, as it is: nothing is verified.

`signature` and `attestation` print the bundles of referrers whole; of those at a tag what cosign prints: a signature with its payload,
certificate and log entry, an attestation's envelope. `sbom` prints an SBOM that was attached without a signature.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from client.oci.attached import SBOMS, Attached, Layout
from client.oci.ports import Registry
from client.oci.reading import Found, read_attestations, read_signatures, read_tag_image
from client.oci.reference import Reference
from client.oci.walking import pick_platform
from sigcore import limits
from sigcore.bundle import encode_bundle
from sigcore.dsse import encode_envelope
from sigcore.errors import NotFound
from sigcore.intoto import predicate_type_uri
from sigcore.legacy_bundle import cosign_timestamp_json, rekor_bundle_json
from sigcore.strict import JSON, encode_base64, parse_json
from stack.cli.registries import add_format_option, add_registry_options, home, layouts_of, open_named, open_registry

EXAMPLES = """\
examples:
  sigbox download signature registry.example.com/app:1.0
  sigbox download attestation --predicate-type slsaprovenance1 registry.example.com/app:1.0 | jq -r .payload
  sigbox download sbom registry.example.com/app:1.0 > sbom.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox download``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, about in (
        ("signature", "the signatures"),
        ("attestation", "the attestations"),
        ("sbom", "the unsigned SBOM at the tag sha256-HEX.sbom"),
    ):
        action = actions.add_parser(name, help=about, allow_abbrev=False)
        action.add_argument("image", metavar="IMAGE", help="registry/repository, with a :tag or @sha256:HEX")
        if name != "sbom":
            add_format_option(action)
        if name != "signature":
            action.add_argument("--platform", metavar="OS/ARCH", help="of one image of an index")
        if name == "attestation":
            action.add_argument("--predicate-type", metavar="T", help="of this type: cosign's short name or a URI")
        action.add_argument("--json", action="store_true", help="all of it in one JSON document")
        add_registry_options(action)


def run(options: argparse.Namespace) -> int:
    """Print what there is; nothing at all is an error."""
    asyncio.run(_download(options))
    return 0


async def _download(options: argparse.Namespace) -> None:
    async with open_registry(options) as registry:
        node = await open_named(registry, options.image)
        ref = pick_platform(node, options.platform) if getattr(options, "platform", None) else node.ref
        if options.action == "sbom":
            await _print_sbom(registry, ref, as_json=options.json)
        elif options.action == "signature":
            _print(await read_signatures(registry, home(ref), layouts_of(options)), ref, options)
        else:
            found = await read_attestations(registry, home(ref), layouts_of(options))
            _print(_of_type(found, options.predicate_type), ref, options)


def _of_type(found: Found, wanted: str | None) -> Found:
    if not wanted:
        return found
    uri = predicate_type_uri(wanted)
    statements = [(one, one.statement()) for one in found.attached]
    of_type = (one for one, statement in statements if statement is not None and statement.predicate_type == uri)
    return Found(tuple(of_type), found.defects)


def _print(found: Found, ref: Reference, options: argparse.Namespace) -> None:
    for defect in found.defects:
        sys.stderr.write(f"left out: {defect.place}: {defect.error.message}\n")
    if not found.attached:
        raise NotFound(f"{ref} has no such {options.action}", "sigbox tree shows what is attached")
    lines = _lines(found.attached)
    if not options.json:
        print("\n".join(lines))
        return
    left_out = [{"place": defect.place, "error": defect.error.message} for defect in found.defects]
    attached = [parse_json(line.encode(), what="what is attached", limit=limits.BUNDLE) for line in lines]
    print(json.dumps({"image": str(ref), "attached": attached, "leftOut": left_out}, indent=2))


def _lines(attached: Sequence[Attached]) -> Sequence[str]:
    lines = []
    for one in attached:
        if one.layout is Layout.REFERRERS:
            lines.append(encode_bundle(one.bundle).decode("utf-8"))
        elif one.envelope is not None:
            lines.append(encode_envelope(one.envelope))
        else:
            lines.append(json.dumps(_signature(one), separators=(",", ":")))
    return lines


def _signature(one: Attached) -> dict[str, JSON]:
    """The members that cosign prints; of a certificate its DER alone."""
    bundle = one.bundle
    promised = next((entry for entry in bundle.log_entries if entry.promise is not None), None)
    return {
        "Base64Signature": encode_base64(bundle.signature),
        "Payload": encode_base64(one.text),
        "Cert": {"Raw": encode_base64(bundle.certificate)} if bundle.certificate is not None else None,
        "Chain": None,
        "Bundle": rekor_bundle_json(promised) if promised is not None else None,
        "RFC3161Timestamp": cosign_timestamp_json(bundle.timestamps[0]) if bundle.timestamps else None,
    }


async def _print_sbom(registry: Registry, ref: Reference, *, as_json: bool) -> None:
    manifest = await read_tag_image(registry, home(ref), SBOMS)
    if manifest is None or len(manifest.layers) != 1:
        raise NotFound(f"{ref} has no SBOM at its tag", "a signed one is an attestation: sigbox download attestation")
    (layer,) = manifest.layers
    data = await registry.blob(home(ref).repository, layer)
    sys.stderr.write(f"an SBOM of type {layer.media_type!a}; nobody has signed it\n")
    if as_json:
        facts = {"image": str(ref), "digest": layer.digest, "mediaType": layer.media_type}
        print(json.dumps(facts | {"content": encode_base64(data)}, indent=2))
    else:
        sys.stdout.buffer.write(data)
