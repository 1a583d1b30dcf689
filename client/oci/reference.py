# SPDX-License-Identifier: Apache-2.0
"""Names of images: ``registry/repository:tag@digest``, with Docker Hub's defaults filled in.

Sources: the grammar of the distribution project's ``reference`` package; OCI distribution-spec 1.1 "Pulling manifests"
(repository, tag) and "Referrers Tag Schema".
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from client.oci.digests import parse_digest
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import parse_decimal, shown
from sigcore.values import dataclass

DOCKER_HUB: Final = "index.docker.io"
"""The registry of a name without one. ``docker.io`` is another spelling of it, as in cosign."""
DEFAULT_TAG: Final = "latest"

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z", re.ASCII)
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?\Z", re.ASCII)
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*\Z", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository of a registry, or a manifest in it.

    ``registry`` is ``host`` or ``host:port`` in lower case, ``digest`` is ``sha256:...`` or empty. Where a digest is there,
    it alone says which manifest is meant; a tag beside it is only carried along. With neither it is the repository.

    Raises:
        Malformed: a part that does not follow the grammar. Parts become URLs, so no other value can be made.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        if parse_registry(self.registry) != self.registry:
            raise Malformed(f"the registry {shown(self.registry, 300)} is not in lower case")
        if not _REPOSITORY.match(self.repository) or len(self.name) > limits.OCI_NAME:
            raise Malformed(
                f"{shown(self.repository, 300)} is no name of a repository",
                "parts of lower-case letters and digits, joined by '.', '_', '__' or '-', with '/' between the parts; "
                f"at most {limits.OCI_NAME} characters with the registry",
            )
        if self.tag:
            parse_tag(self.tag)
        if self.digest:
            parse_digest(self.digest, what=f"the digest of the image {shown(self.name, 300)}")

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str:
        """What the registry is asked for: the digest, or else the tag.

        Raises:
            Malformed: there is neither.
        """
        if not (self.digest or self.tag):
            raise Malformed(f"{self} is a repository, expected an image in it", "add :TAG or @DIGEST")
        return self.digest or self.tag

    def at_digest(self, digest: str) -> Reference:
        """The manifest with this digest in the same repository.

        Raises:
            Malformed: no digest.
        """
        return Reference(self.registry, self.repository, "", digest)

    def at_tag(self, tag: str) -> Reference:
        """The manifest that this tag of the same repository points to.

        Raises:
            Malformed: no tag.
        """
        return Reference(self.registry, self.repository, parse_tag(tag))

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse_reference(text: str) -> Reference:
    """The image that ``text`` names.

    1. What follows ``@`` is a digest.
    2. Of the rest, what follows the last ``:`` is a tag, if no ``/`` follows it (else it begins a port).
    3. The first part of the path is a registry if it is ``localhost`` or has a dot or a colon; without one it is Docker Hub,
       where a repository of one part is in ``library/``.
    4. Without tag and digest the tag is ``latest``.

    Raises:
        Malformed: names the part that is wrong.
    """
    rest, at, digest = text.partition("@")
    if at and not digest:
        raise Malformed(f"{shown(text, 300)} ends with an @, expected a digest behind it")
    name, tag = _split_tag(rest)
    found = parse_repository(name)
    return Reference(found.registry, found.repository, tag or ("" if digest else DEFAULT_TAG), digest)


def parse_repository(text: str) -> Reference:
    """A repository's name, without tag or digest.

    Raises:
        Malformed: no such name.
    """
    first, slash, rest = text.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        registry, repository = parse_registry(first), rest
    else:
        registry, repository = DOCKER_HUB, text
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry, repository)


def parse_registry(text: str) -> str:
    """``host`` or ``host:port`` in lower case; ``docker.io`` becomes Docker Hub's own name.

    Raises:
        Malformed: user names, paths, empty labels, no port number.
    """
    match = _AUTHORITY.match(text.lower())
    if match is None or not (_is_ipv6(match[1]) or _HOST.match(match[1])):
        raise Malformed(f"{shown(text, 300)} is no registry", "give a host name or an address, and :PORT where needed")
    if match[2] and not parse_decimal(match[2], what="the port of the registry", maximum=65535):
        raise Malformed(f"the registry {shown(text, 300)} has port 0")
    return DOCKER_HUB if match[0] == "docker.io" else match[0]


def host_of(registry: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    host = registry.rpartition(":")[0] if re.search(r":[0-9]+\Z", registry) else registry
    return host.strip("[]")


def parse_tag(text: str) -> str:
    """``text`` if it is a tag.

    Raises:
        Malformed: it is none.
    """
    if not _TAG.match(text):
        raise Malformed(
            f"{shown(text, 200)} is no tag",
            "at most 128 letters, digits, '_', '.' and '-'; it begins with no '.' or '-'",
        )
    return text


def referrers_tag(digest: str) -> str:
    """The tag whose index lists what refers to ``digest`` in a registry without the referrers API."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def _split_tag(text: str) -> tuple[str, str]:
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, ""
    if not tag:
        raise Malformed(f"{shown(text, 300)} ends with a colon, expected a tag behind it")
    return name, tag


def _is_ipv6(host: str) -> bool:
    if not host.startswith("["):
        return False
    try:
        IPv6Address(host[1:-1])
    except AddressValueError:
        return False
    return True
