# SPDX-License-Identifier: Apache-2.0
"""Where a registry may send us, and who may hear the password. A registry names URLs in four places: a redirect, the place of
an upload, the next page of a list, and the ``realm`` of a token service. None of them is believed.

The rules, for all four:

1. http or https, with a plain host name or address, without a user name.
2. Never from https to http; plain http only to a loopback address, or where the user allowed it.
3. Never inward: not to a loopback, private or otherwise not public address, unless the registry itself is at such a one; never
   to a link-local one (the metadata services of clouds). A name that resolves to such an address is not noticed: that is the
   network's part.
4. ``Authorization`` goes to the registry's own origin (scheme, host and port) only, and to a realm that :func:`hears_password`
   takes.

Advisories: GHSA-vh4v-2xq2-g5cg, GHSA-28r5-37g7-p6mp, GHSA-xf85-363p-868w, GHSA-jxpm-75mh-9fp7 (oras-go 2.6.1).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urljoin, urlsplit

from client.oci.reference import DOCKER_HUB
from sigcore.errors import Malformed, Refused
from sigcore.strict import shown
from sigcore.values import dataclass

_PORTS: Final = {"http": 80, "https": 443}
_KNOWN_REALMS: Final = {DOCKER_HUB: "auth.docker.io"}
"""Token services that are neither above nor below their registry, and are known to be its own."""
_URL: Final = re.compile(r"[!-~]+\Z", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\Z", re.ASCII)
_NUMERIC: Final = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\Z", re.ASCII)
"""Hosts that resolvers read as an address in one of its old spellings (127.1, 0x7f000001)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL: what credentials belong to."""

    scheme: str
    host: str
    port: int


def origin_of(url: str) -> Origin:
    """The origin of an absolute URL.

    Raises:
        Malformed: not http or https, a user name in it, characters that a URL does not have, no plain host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Malformed(f"{shown_url(url)} is no URL") from error
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or "@" in parts.netloc or not _URL.match(url) or not _is_plain(host):
        raise Malformed(f"{shown_url(url)} is no plain http or https URL")
    return Origin(parts.scheme, host, _PORTS[parts.scheme] if port is None else port)


def shown_url(url: str) -> str:
    """A URL as it may stand in messages: :func:`bare_url`, quoted and cut."""
    return shown(bare_url(url), 300)


def bare_url(url: str) -> str:
    """The URL without its query, where upload sessions and signed URLs keep their secrets, and without a user."""
    return re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])


def resolved(base: str, location: str) -> str:
    """``location`` of an answer to ``base`` as an absolute URL without fragment.

    Raises:
        Malformed: as :func:`origin_of`.
    """
    try:
        url = urljoin(base, location.partition("#")[0])
    except ValueError as error:
        raise Malformed(f"{shown_url(location)} is no URL") from error
    origin_of(url)
    return url


def verify_target(registry: Origin, source: str, target: str, *, what: str, allow_http: bool) -> Origin:
    """The origin of ``target``, where an answer of ``source`` sends us: rules 1 to 3.

    Args:
        registry: of the registry that was asked in the first place.
        source: the URL that was asked.
        target: the absolute URL that it names.
        what: the noun for messages: "the redirect".
        allow_http: the user allowed plain http.

    Raises:
        Refused: names the rule.
    """
    origin = origin_of(target)
    said = f"{what} of {shown_url(source)} leads to {shown_url(target)}"
    if origin.scheme == "http" and origin_of(source).scheme == "https":
        raise Refused(f"{said}: from https to plain http", "the registry is misconfigured, or somebody is in between")
    if origin.scheme == "http" and not (allow_http or is_loopback(origin.host)):
        raise Refused(f"{said}: plain http to another machine", "allow it with --allow-http-registry, if you must")
    inward = origin.host != registry.host and is_inward(origin.host)
    if inward and (is_link_local(origin.host) or not is_inward(registry.host)):
        raise Refused(f"{said}: an address inside of this network", "a registry outside has no business there")
    return origin


def hears_password(registry: Origin, realm: Origin, allowed: Collection[str] = ()) -> bool:
    """Whether credentials for ``registry`` may be sent to the token service at ``realm``.

    1. It is the registry's own origin.
    2. The user named its host, or host and port.
    3. By https on its usual port, or the registry's: the registry's host, a host below it, or a domain above it of at least two
       labels. Whoever has the domain above can take over the registry's name, and whoever has the registry's name gave out the
       names below. A host beside it proves nothing: no list of public suffixes is kept here.
    4. Docker Hub's own, which is beside it.
    """
    if realm == registry or realm.host in allowed or f"{realm.host}:{realm.port}" in allowed:
        return True
    if realm.scheme != "https" or realm.port not in (443, registry.port):
        return False
    if _KNOWN_REALMS.get(registry.host) == realm.host:
        return True
    if realm.host == registry.host:
        return True
    if address_of(registry.host) or address_of(realm.host):
        return False
    above = "." in realm.host and registry.host.endswith(f".{realm.host}")
    return above or realm.host.endswith(f".{registry.host}")


def next_page(url: str, links: Collection[str], path: str) -> str | None:
    """The URL of the next page, from the ``Link`` header lines of the page at ``url``; None after the last one.

    It must be of the same origin, and its path must be ``path``: what is listed there belongs to another list otherwise.

    Raises:
        Refused: it leads elsewhere. Malformed: several next pages, or no URL.
    """
    targets = [match[1] for line in links for match in _LINK.finditer(line) if _is_next(match[2])]
    if not targets:
        return None
    if len(targets) > 1:
        raise Malformed(f"the page {shown_url(url)} has {len(targets)} next pages")
    target = resolved(url, targets[0])
    if origin_of(target) != origin_of(url) or urlsplit(target).path != path:
        raise Refused(
            f"the next page of {shown_url(url)} is {shown_url(target)}, which is not of the same list",
            "the registry's paging is wrong; no further page was asked for",
        )
    return target


_LINK: Final = re.compile(r"<([^<>]*)>((?:\s*;[^,<>]*)?)", re.ASCII)


def _is_next(parameters: str) -> bool:
    return re.search(r';\s*rel\s*=\s*("next"|next)\s*(;|\Z)', parameters, re.IGNORECASE) is not None


# --- hosts -------------------------------------------------------------------------------------------
def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` spells, or None for a name. An IPv4 address in IPv6 clothes is the IPv4 address."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its spelling alone: localhost and names below it, 127.0.0.0/8, ::1."""
    address = address_of(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def is_link_local(host: str) -> bool:
    """169.254.0.0/16 and fe80::/10; fd00:ec2::254 is Amazon's metadata service."""
    address = address_of(host)
    return address is not None and (address.is_link_local or address == IPv6Address("fd00:ec2::254"))


def is_inward(host: str) -> bool:
    """Whether ``host`` is this machine or an address that is not public."""
    address = address_of(host)
    return not address.is_global if address else is_loopback(host)


def _is_plain(host: str) -> bool:
    return address_of(host) is not None or bool(_NAME.match(host) and not _NUMERIC.match(host))
