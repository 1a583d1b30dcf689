# SPDX-License-Identifier: Apache-2.0
"""The options of every command that talks to a registry, and the image that such a command is about."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from client.oci.attached import Home, Layout, home_of, named_layouts
from client.oci.ports import Registry
from client.oci.reference import Reference, parse_reference, parse_repository
from client.oci.walking import Node, open_image, walk
from sigcore.strict import shown
from stack.cli.usage import Usage

if TYPE_CHECKING:
    from client.oci.options import RegistryOptions

REPOSITORY: Final = "COSIGN_REPOSITORY"
"""The variable that names another repository for what is attached to images."""
_FORMATS: Final = (*(layout.value for layout in Layout), "both")


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """cosign's options for registries. Passwords are found in docker's configuration where none is given."""  # noqa: D403 - its name
    group = parser.add_argument_group("registry", "else docker's configuration; plain http only to this machine")
    group.add_argument("--allow-http-registry", action="store_true", help="plain http to other machines too")
    group.add_argument(
        "--allow-insecure-registry", action="store_true", help="do not check TLS certificates; for tests"
    )
    group.add_argument("--registry-cacert", metavar="PEM", help="certificate authorities to trust for the registry")
    group.add_argument("--registry-client-cert", metavar="PEM", help="certificate to authenticate with")
    group.add_argument("--registry-client-key", metavar="PEM", help="its key")
    group.add_argument("--registry-server-name", metavar="NAME", help="the name that the registry's certificate is for")
    group.add_argument("--registry-username", metavar="U", help="for every registry that is named here")
    group.add_argument("--registry-password", metavar="P", help="its password")
    group.add_argument("--registry-token", metavar="T", help="a bearer token, instead of both")
    group.add_argument(
        "--registry-token-host",
        metavar="HOST",
        action="append",
        default=[],
        help="a token service of another name that may be given the password",
    )


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """``--format``."""
    text = "layout: referrers (OCI 1.1, cosign 3), tag (sha256-HEX.sig, cosign 2), or both (default)"
    parser.add_argument("--format", choices=_FORMATS, default="both", metavar="F", help=text)


def add_annotations_option(parser: argparse.ArgumentParser, about: str) -> None:
    """``-a``, ``--annotations``."""
    parser.add_argument(
        "-a", "--annotations", metavar="K=V", action="append", default=[], help=f"{about}; may be repeated"
    )


def add_recursive_option(parser: argparse.ArgumentParser, about: str) -> None:
    """``-r``, ``--recursive``."""
    parser.add_argument("-r", "--recursive", action="store_true", help=about)


def layouts_of(options: argparse.Namespace) -> tuple[Layout, ...]:
    """What ``--format`` says."""
    return named_layouts(options.format)


def annotations_of(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The pairs of ``-a``; as with cosign a comma separates several in one value.

    Raises:
        Usage: no ``=``, an empty name, or a name twice.
    """
    pairs: dict[str, str] = {}
    for part in (part for text in options.annotations for part in text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise Usage(f"--annotations has {shown(part)}, expected KEY=VALUE", "a comma separates pairs")
        if name in pairs:
            raise Usage(f"--annotations names {shown(name)} twice")
        pairs[name] = value
    return tuple(pairs.items())


def options_of(options: argparse.Namespace) -> RegistryOptions:
    """What the user said about registries.

    Raises:
        Usage: half of a pair, or a token beside a password.
    """
    # Deferred, like the next: a saved image is verified without it.
    from client.oci.options import Credential, RegistryOptions  # noqa: PLC0415 - see the line above

    user, password, token = options.registry_username, options.registry_password, options.registry_token
    if bool(user) != bool(password):
        raise Usage("one of --registry-username and --registry-password is given", "give both, or --registry-token")
    if token and user:
        raise Usage("--registry-token and --registry-username are given", "leave one of them out")
    if bool(options.registry_client_cert) != bool(options.registry_client_key):
        raise Usage("one of --registry-client-cert and --registry-client-key is given", "give both")
    given = Credential(user or "", password or "", registry_token=token or "") if user or token else None
    return RegistryOptions(
        allow_http=options.allow_http_registry,
        allow_insecure=options.allow_insecure_registry,
        ca_file=options.registry_cacert,
        client_cert=options.registry_client_cert,
        client_key=options.registry_client_key,
        server_name=options.registry_server_name,
        credential=given,
        token_hosts=tuple(options.registry_token_host),
    )


@asynccontextmanager
async def open_registry(options: argparse.Namespace) -> AsyncIterator[Registry]:
    """The registries, for as long as a command runs. Errors as :func:`options_of`."""
    settings = options_of(options)
    # Deferred: see above.
    from client.oci.http import HttpRegistry  # noqa: PLC0415 - see the line above

    async with HttpRegistry(settings) as registry:
        yield registry


def home(image: Reference) -> Home:
    """Where things are attached to ``image``: in its own repository, or in that of ``COSIGN_REPOSITORY``.

    Raises:
        Malformed: the variable names no repository.
    """
    text = os.environ.get(REPOSITORY, "")
    return home_of(image, parse_repository(text) if text else None)


async def open_named(registry: Registry, text: str, *, warn: bool = False) -> Node:
    """The image that a user names. With ``warn`` a tag is warned of: what it points to may change under the command.

    Raises: as the registry's; Malformed for what is no reference.
    """
    ref = parse_reference(text)
    node = await open_image(registry, ref)
    if warn and not ref.digest:
        sys.stderr.write(
            f"warning: {ref} is a tag, which may point to another image at any moment; now it is {node.ref.digest}\n"
        )
    return node


async def nodes_of(registry: Registry, top: Node, *, recursive: bool) -> Sequence[Node]:
    """The image, and with ``recursive`` those below it."""
    return [node async for node in walk(registry, top)] if recursive else [top]
