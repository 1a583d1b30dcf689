# SPDX-License-Identifier: Apache-2.0
"""Credentials of registries, as docker and podman keep them: in a file, or in the store of a credential helper.

Whatever goes wrong here, the message names the file and the place in it and shows nothing of what stands there.

Sources: docker's documentation of ``config.json`` and of the credential helper protocol; containers-auth.json(5) for keys with
a path. A registry's entry is found by its exact ``host[:port]`` (GO-2026-6225: a pattern was matched instead).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from client.files import read_file
from client.oci.options import Credential
from client.oci.reference import DOCKER_HUB, Reference
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.strict import Fields, parse_base64, parse_json, shown

HUB_KEY: Final = f"https://{DOCKER_HUB}/v1/"
"""The name under which docker keeps the credentials of Docker Hub."""
HELPER_TIMEOUT_S: Final = 30.0
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", re.ASCII)
_NOT_FOUND: Final = b"credentials not found"
_OAUTH_USER: Final = "<token>"


class Keychain:
    """The credentials of one user.

    Args:
        environment: where DOCKER_CONFIG, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, HOME and PATH are looked up.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._config: Fields | None = None
        self._found: dict[str, Credential | None] = {}

    async def find(self, ref: Reference) -> Credential | None:
        """The credentials for the repository of ``ref``; None: there are none.

        1. The helper that ``credHelpers`` names for the registry, or the one that ``credsStore`` names for all.
        2. The entry of ``auths`` for the repository, for a part of its path, or for the registry.

        Raises:
            Malformed: the file. Refused: a file that cannot be read, a helper that is missing or fails.
        """
        if ref.name not in self._found:
            self._found[ref.name] = await self._look(ref)
        return self._found[ref.name]

    async def _look(self, ref: Reference) -> Credential | None:
        config = self._load()
        server = HUB_KEY if ref.registry == DOCKER_HUB else ref.registry
        helper = _helper_of(config, ref.registry)
        if helper and (found := await run_helper(helper, server, self._environment)):
            return found
        entries = config.raw().get("auths") or {}
        if not isinstance(entries, dict):
            raise Malformed(f"{config.path}.auths is no object")
        by_key = {_key(name): entry for name, entry in entries.items()}
        for key in _keys_for(ref):
            if key in by_key and (credential := _entry(by_key[key], f"{config.path}, auths of {shown(key, 300)}")):
                return credential
        return None

    def _load(self) -> Fields:
        if self._config is None:
            path = _config_file(self._environment)
            what = f"the file {path}"
            data = _read(path) if path else b"{}"
            try:
                self._config = Fields.of(parse_json(data, what=what, limit=limits.DOCKER_CONFIG, floats=True), what)
            except Malformed:
                raise Malformed(f"{what} is not the JSON object that docker keeps credentials in") from None
        return self._config


def _config_file(environment: Mapping[str, str]) -> str | None:
    """The first of docker's and podman's files that is there; beside DOCKER_CONFIG no other is looked for."""
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - no pathlib on the way to a verification
    docker, runtime = environment.get("DOCKER_CONFIG"), environment.get("XDG_RUNTIME_DIR")
    places = [f"{docker or f'{home}/.docker'}/config.json"]
    if not docker:
        places += [path for path in (environment.get("REGISTRY_AUTH_FILE"),) if path]
        places += [f"{runtime}/containers/auth.json"] if runtime else []
        places.append(f"{environment.get('XDG_CONFIG_HOME') or f'{home}/.config'}/containers/auth.json")
    return next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110 - the same


def _read(path: str) -> bytes:
    try:
        return read_file(path, what="docker's configuration", limit=limits.DOCKER_CONFIG)
    except NotFound as error:
        raise Refused(error.message, "make it readable, or name another with DOCKER_CONFIG") from error


def _keys_for(ref: Reference) -> Iterator[str]:
    """``registry/a/b``, ``registry/a``, ``registry``."""
    name = ref.name
    while name:
        yield name
        name = name.rpartition("/")[0]


def _key(name: str) -> str:
    """A key of ``auths`` without scheme, without the API's version, with its host in lower case."""
    bare = re.sub(r"/(v1|v2)?/?\Z", "", re.sub(r"\Ahttps?://", "", name))
    host, slash, path = bare.partition("/")
    host = DOCKER_HUB if host.lower() == "docker.io" else host.lower()
    return f"{host}{slash}{path}"


def _entry(entry: object, what: str) -> Credential | None:
    if not isinstance(entry, dict):
        raise Malformed(f"{what}: no object")
    texts = {name: value for name, value in entry.items() if isinstance(value, str)}
    username, password = texts.get("username", ""), texts.get("password", "")
    if texts.get("auth"):
        username, password = _pair(texts["auth"], what)
    found = Credential(username, password, texts.get("identitytoken", ""), texts.get("registrytoken", ""))
    return found if found.secrets else None


def _pair(auth: str, what: str) -> tuple[str, str]:
    """User and password of ``auth``: base64 of ``user:password``."""
    try:
        username, colon, password = parse_base64(auth, what=what).decode().partition(":")
    except (SigError, UnicodeDecodeError):
        username, colon, password = "", "", ""
    if not colon:
        # The chain is cut: it would show the secret.
        raise Malformed(f"{what}: its auth is not base64 of user:password", "docker login writes it anew") from None
    return username, password.rstrip("\0")


# --- helpers -----------------------------------------------------------------------------------------
def _helper_of(config: Fields, registry: str) -> str:
    named = config.raw().get("credHelpers")
    by_key = {_key(name): value for name, value in named.items()} if isinstance(named, dict) else {}
    helper = by_key.get(registry) or config.raw().get("credsStore") or ""
    if not isinstance(helper, str) or (helper and not _HELPER.match(helper)):
        raise Malformed(f"{config.path} names a credential helper that is no plain name of a program")
    return helper


async def run_helper(helper: str, server: str, environment: Mapping[str, str]) -> Credential | None:
    """What ``docker-credential-HELPER get`` answers for ``server``; None: it has nothing.

    The server's name goes to its standard input; JSON with Username and Secret comes from its standard output.

    Raises:
        Refused: no such program, a failure, no answer in time. Malformed: another answer.
    """
    program = f"docker-credential-{helper}"
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise Refused(
            f"the credential helper {program} cannot be run: {error.strerror}",
            "docker's configuration names it; install it, or remove it there",
        ) from error
    try:
        async with asyncio.timeout(HELPER_TIMEOUT_S):
            output, _ = await process.communicate(server.encode())
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise Refused(f"the credential helper {program} did not answer within {HELPER_TIMEOUT_S:g} s") from error
    if process.returncode:
        if _NOT_FOUND in output:
            return None
        raise Refused(
            f"the credential helper {program} failed with status {process.returncode}",
            f"try it by hand: echo {server} | {program} get",
        )
    return _answer(output, program)


def _answer(output: bytes, program: str) -> Credential | None:
    try:
        fields = Fields.parse(output, what="the answer", limit=limits.DOCKER_CONFIG)
        username, secret = fields.optional_text("Username"), fields.text("Secret", limit=limits.OCI_TOKEN)
    except SigError:
        raise Malformed(f"the credential helper {program} did not answer with Username and Secret in JSON") from None
    if not secret:
        return None
    return Credential(identity_token=secret) if username == _OAUTH_USER else Credential(username, secret)
