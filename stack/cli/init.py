# SPDX-License-Identifier: Apache-2.0
"""Make a stack without starting it: keys, chains, trust root and settings, in an empty data directory.

On a terminal it asks six questions; with any of their options (or variables) but --data, or with --yes, it asks nothing. It prints
the fingerprint of the root, the files and the lines that come next. Where there is a stack already, it says so and changes nothing
but TLS certificates that have come near their end.
"""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import replace
from datetime import UTC, datetime

from sigcore.errors import Refused
from stack.cli import trust_corporate
from stack.cli.init_questions import AUTO, DEFAULT_URL, NONE, add_login, complete, default_url, keys_of, login_row
from stack.cli.placing import add_data_option, add_passphrase_option
from stack.cli.usage import Usage
from stack.config import Home, Settings, home_at, load_settings, parse_organization, parse_services, parse_url
from stack.passphrase import find_passphrase

EXAMPLES = """\
examples:
  sigbox init                                     data in ./sigbox-data, URL http://localhost:7780
  sigbox init --data /srv/sigbox --url https://sigstore.corp.example --organization 'ACME Build'
  sigbox init --data /srv/sigbox --yes --passphrase-file /etc/sigbox/passphrase
  sigbox init --data /srv/sigbox --url https://sigstore.corp.example --tls auto \\
    --login https://login.corp.example/realms/corp,sigbox,corp.example
  sigbox init --data /srv/sigbox --url https://sigstore.corp.example --yes \\
    --key 'ca=pkcs11:token=sigbox;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/sigbox/pin'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox init``."""
    add_data_option(parser)
    add = parser.add_argument
    add("--url", metavar="URL", help=f"how clients will reach it (default: $SIGBOX_URL, {DEFAULT_URL})")
    add("--organization", metavar="NAME", help="what certificates name (default: $SIGBOX_ORGANIZATION, sigbox HOST)")
    add(
        "--tls",
        metavar="auto|CERT,KEY|none",
        help="HTTPS; auto: an authority of its own, and a certificate for each role (default: $SIGBOX_TLS, none)",
    )
    add(
        "--login",
        metavar="ISSUER,CLIENT_ID,DOMAIN",
        help="people of these mail domains log in through this OpenID provider (default: $SIGBOX_LOGIN, none)",
    )
    add(
        "--service",
        metavar="ROLE=URL",
        action="append",
        default=[],
        help="where clients reach this role, when not at --url; may be repeated",
    )
    add("--role", choices=("ca", "ct", "log", "tsa", "oidc", "trust"), help="make the keys of this role and no others")
    add(
        "--pin",
        metavar="ROLE=SHA256",
        action="append",
        default=[],
        help="of --role trust: what the role's own init has printed; its keys are then fetched from its URL",
    )
    add(
        "--key",
        metavar="ROLE=URI",
        action="append",
        default=[],
        help="keep this role's keys in a PKCS#11 token (RFC 7512) or a KMS (kms:NAME://KEY), made there where they are not "
        "there; ca, ct, rekor, rekor-v1 or tsa; may be repeated",
    )
    trust_corporate.add_import_arguments(parser)
    add_passphrase_option(parser)
    add("--yes", action="store_true", help="ask nothing, take the defaults")
    add("--json", action="store_true", help="ask nothing, and print one JSON document: URL, fingerprint, places")


def run(options: argparse.Namespace) -> int:
    """Make the stack, or say that it is there."""
    fresh = not home_at(options.data).settings_file.exists()
    complete(options, os.environ if fresh else {}, ask=fresh and not options.role and not options.json)
    home = replace(home_at(options.data), passphrase=find_passphrase(options.passphrase_file, os.environ))
    if options.role or options.pin:
        if options.json:
            raise Usage("--json and --role are given", "the keys of one role are told of in text only")
        if options.ca_chain or options.ca_key:
            raise Usage("--ca-chain is for a whole stack", "of a role in a process of its own: sigbox trust accept ca")
        # Deferred: it fetches.
        from stack.cli.init_role import run_role  # noqa: PLC0415 - see the line above

        return run_role(options, home, _services(options))
    if home.settings_file.exists():
        _refuse_other(home, options)
        if home.tuf_root.exists():
            return _say_there(home, options)
    url = parse_url(options.url) if options.url else None
    organization = parse_organization(options.organization) if options.organization else ""
    settings = _make(home, options, url, organization)
    print(_document(home, settings, made=True) if options.json else "\n".join(next_lines(home, settings, options)))
    return 0


def _document(home: Home, settings: Settings, *, made: bool) -> str:
    # Deferred, like the next: a person who answers questions does not wait for them.
    from json import dumps  # noqa: PLC0415 - see the line above

    from stack.trust.serving import fingerprint  # noqa: PLC0415 - the same

    return dumps(
        {
            "made": made,
            "url": settings.url,
            "organization": settings.organization,
            "fingerprint": fingerprint(home),
            "data": str(home.path),
            "trusted_root": str(home.trusted_root),
            "trust_config": str(home.trust_config),
            "tuf_root": str(home.tuf_root),
            "keysEncrypted": _encrypted(home),
        },
        indent=2,
    )


def _say_there(home: Home, options: argparse.Namespace) -> int:
    settings = load_settings(home)
    split = (home.folder_of("trust") / "tls.pem").exists()  # else the authority, if any, is that of `sigbox up`
    issued = _issue(home, settings) if options.tls == AUTO or split else ()
    if options.json:
        print(_document(home, settings, made=False))
        return 0
    changed = f"new TLS certificates: {', '.join(issued)}" if issued else "nothing was changed"
    print(f"{home.path} holds a stack already; {changed}.")
    print("\n".join(next_lines(home, settings, options)))
    return 0


def _issue(home: Home, settings: Settings) -> tuple[str, ...]:
    # Deferred: only with an authority of the stack's own.
    from stack.serve import check_https  # noqa: PLC0415 - see the line above
    from stack.tls_authority import prepare_roles  # noqa: PLC0415 - the same

    for url in (settings.url, *settings.services.values()):
        check_https(url)
    return prepare_roles(home, settings, datetime.now(UTC))


def _services(options: argparse.Namespace) -> dict[str, str]:
    pairs = (text.partition("=") for text in options.service)
    return parse_services({role: url for role, _, url in pairs})


def _make(home: Home, options: argparse.Namespace, url: str | None, organization: str) -> Settings:
    # Deferred: keys and certificates are not needed to say that a stack is there.
    from stack import bootstrap  # noqa: PLC0415 - see the line above
    from stack.lock import held  # noqa: PLC0415 - the same
    from stack.serve import check_https  # noqa: PLC0415 - the same
    from stack.trust.documents import save_documents, unrotated  # noqa: PLC0415 - the same
    from stack.trust.publisher import finish_publisher, start_publisher  # noqa: PLC0415 - the same

    services, in_token = _services(options), keys_of(options)
    authority = trust_corporate.imported(options, datetime.now(UTC))
    if options.tls == AUTO:
        for given in services.values():
            check_https(given)
    bootstrap.refuse_foreign(home)  # before anything is written there
    with held(home.path):
        now = datetime.now(UTC)
        settings = bootstrap.prepare(
            home,
            url=url,
            default_url=default_url(options),
            ephemeral=False,
            now=now,
            organization=organization,
            services=services,
            in_token=in_token,
            authority=authority,
        )
        if options.login:
            add_login(home, options.login)
        bootstrap.oidc_key(home, settings)
        if options.tls == AUTO:
            _issue(home, settings)
        with unrotated(home, settings):
            save_documents(home, bootstrap.load_material(home).public, settings)
        finish_publisher(start_publisher(home))
    return settings


def _refuse_other(home: Home, options: argparse.Namespace) -> None:
    """A second ``init`` is no error, unless it asks for something else than what is there."""
    settings = load_settings(home)
    if options.url and parse_url(options.url) != settings.url:
        raise Refused(f"{home.path} holds a stack with the URL {settings.url}", "sigbox up --url changes it")
    if options.service and (services := _services(options)) != settings.services:
        hint = "edit the table [services] of sigbox.toml, and start all roles anew"
        raise Refused(f"{home.path} holds a stack with the services {dict(settings.services)}, not {services}", hint)
    if options.key and keys_of(options) != settings.keys:
        hint = "edit the table [keys] of sigbox.toml; sigbox trust rotate ca then makes the next key there"
        raise Refused(f"the keys of {home.path} are kept elsewhere", hint)
    if (options.ca_chain or options.ca_key) and not trust_corporate.is_imported(options, home):
        raise Refused(
            f"{home.path} holds a stack already", "sigbox trust accept ca CHAIN --key KEY makes it the next authority"
        )
    if options.organization and options.organization != settings.organization:
        hint = "the name stands in its certificates; another one needs another --data"
        raise Refused(f"{home.path} holds a stack of {settings.organization!a}", hint)


def next_lines(home: Home, settings: Settings, options: argparse.Namespace) -> tuple[str, ...]:
    """The fingerprint, the files, and what to type next."""
    # Deferred: it imports aiohttp, which the questions must not wait for.
    from stack.trust.serving import fingerprint  # noqa: PLC0415 - see the line above

    data, file = shlex.quote(str(home.path)), options.passphrase_file
    opening = f" --passphrase-file {shlex.quote(str(file.absolute()))}" if file else ""
    own_tls = home.tls_ca.exists() and settings.url.startswith("https:")
    tls = AUTO if own_tls else options.tls if options.tls not in (None, AUTO, NONE) else ""
    serving = f"{opening} --tls {shlex.quote(tls)}" if tls else opening
    folders = sorted(path.name for path in home.path.iterdir() if any(path.glob("*.key")) or any(path.glob("*.pub")))
    return (
        "root fingerprint",
        f"  sha256:{fingerprint(home)}",
        f"organization     {settings.organization}",
        f"keys             {'encrypted with the passphrase' if _encrypted(home) else 'readable by you alone (0600)'}",
        f"files            {home.path}: one folder of keys for each role ({', '.join(folders)});",
        f"                 {home.public.name}/ is for everybody, {home.settings_file.name} has the settings",
        *_token_lines(settings),
        *_login_lines(options),
        "",
        "# start it; it answers at " + settings.url,
        f"sigbox up --data {data}{serving}",
        "# the lines for each client: cosign, sigstore-python, sigstore-js, gitsign, ...",
        f"sigbox env cosign --data {data}",
        "# what clients find in the trust root, and how long it is good for",
        f"sigbox trust show --data {data}",
    )


def _token_lines(settings: Settings) -> tuple[str, ...]:
    if not settings.keys:
        return ()
    # Deferred: most stacks have no token.
    from stack.key_places import by_place, source_of  # noqa: PLC0415 - see the line above

    rows = {role: f"{role} in {source_of(role, uri).place}" for role, uri in settings.keys.items()}
    return tuple(
        f"{place:16} {', '.join(rows[role] for role in roles)}; no backup of ours has them"
        for place, roles in by_place(settings.keys).items()
    )


def _login_lines(options: argparse.Namespace) -> tuple[str, ...]:
    if not options.login:
        return ()
    issuer = login_row(options.login)["issuer"]
    place = f"{options.url or default_url(options)}/auth/upstream/company/callback"
    return (f"logins           through {issuer}; register there the redirect URI", f"                 {place}")


def _encrypted(home: Home) -> bool:
    # Deferred: see above.
    from stack.bootstrap import ENCRYPTED  # noqa: PLC0415 - see the line above

    return (home.path / "oidc" / "signing.key").read_bytes().startswith(ENCRYPTED)
