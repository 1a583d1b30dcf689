# SPDX-License-Identifier: Apache-2.0
"""Requests to registries that get through: the right scheme, redirects, authorization, further attempts; and errors in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import BinaryIO, Final, TypeVar

from client.oci.auth import Authorizer
from client.oci.credentials import Keychain
from client.oci.options import RegistryOptions
from client.oci.reference import Reference, host_of
from client.oci.targets import Origin, is_loopback, origin_of, resolved, shown_url, verify_target
from client.oci.transport import Answer, Content, Request, Wire, speaks_tls
from client.transport import ServiceRefused, Untrusted
from sigcore import limits
from sigcore.errors import NotFound, Refused, SigError, Unavailable
from sigcore.strict import Fields, parse_decimal, parse_json, shown

PULL: Final = "pull"
PUSH: Final = "pull,push"
DELETE: Final = "delete"

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MAX_REDIRECTS: Final = 5
_AGAIN: Final = (408, 429, 500, 502, 503, 504)
_LONGEST_WAIT_S: Final = 30.0
_WORDS: Final = 300

T = TypeVar("T")


class Session:
    """The requests of one command, over one set of connections."""

    def __init__(self, options: RegistryOptions, keychain: Keychain, wire: Wire) -> None:
        self._options = options
        self._wire = wire
        self._bases: dict[str, str] = {}
        self._probing = asyncio.Lock()
        self.authorizer = Authorizer(options, keychain, wire)

    async def ask(
        self,
        ref: Reference,
        method: str,
        where: str,
        *,
        actions: str = PULL,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
        limit: int = limits.SERVICE_RESPONSE,
        into: BinaryIO | None = None,
        expected: Collection[int] = (200,),
        again: bool = True,
    ) -> Answer:
        """The answer of one of the ``expected`` statuses; see :meth:`persist` for asking again.

        Args:
            ref: the repository; its registry is asked.
            method: of HTTP.
            where: a path below ``/v2/NAME/``, or a whole URL that the registry gave and that has been checked.
            actions: what a token must allow: PULL, PUSH or DELETE.
            headers: beside ``Authorization``.
            content: to send.
            limit: bytes of the answer's content.
            into: a file to write that content to.
            expected: what is success.
            again: whether it is asked again without a usable answer.

        Raises:
            NotFound: 404. ServiceRefused: another status. Refused: a redirect or a realm against the rules of
            ``targets.py``. Unavailable: 5xx, 429, or no answer. Malformed: too long an answer.
        """

        async def attempt() -> Answer:
            base = await self.base(ref.registry)
            url = where if "://" in where else f"{base}/v2/{ref.repository}/{where}"
            request = Request(method, url, headers or {}, content, limit, into)
            answer = await self._authorized(ref, actions, request, origin_of(base))
            if answer.status in expected:
                return answer
            raise self._refusal(ref, answer)

        return await (self.persist(attempt) if again else attempt())

    async def persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` gives, which can be done again without harm, and is, when no usable answer came.

        The time between attempts doubles; a registry that names a time (``Retry-After``) gets it, up to half a minute.
        """
        for attempt in range(self._options.attempts - 1):
            try:
                return await call()
            except Untrusted:
                raise
            except Unavailable as error:
                wait = max(self._options.backoff_s * 2**attempt, getattr(error, "after_s", 0.0))
                await asyncio.sleep(min(wait, _LONGEST_WAIT_S))
        return await call()

    # --- scheme --------------------------------------------------------------------------------------
    async def base(self, registry: str) -> str:
        """``https://REGISTRY``, or ``http://REGISTRY`` where that is allowed and the registry does not speak TLS."""
        host = host_of(registry)
        if registry not in self._bases and not (self._options.http_allowed or is_loopback(host)):
            self._bases[registry] = f"https://{registry}"
        async with self._probing:
            if registry not in self._bases:
                port = origin_of(f"https://{registry}").port
                plain = (False,) if registry.endswith(f":{port}") else (False, None)
                self._bases[registry] = f"{'http' if await speaks_tls(host, port) in plain else 'https'}://{registry}"
        return self._bases[registry]

    # --- authorization and redirects -------------------------------------------------------------------
    async def _authorized(self, ref: Reference, actions: str, request: Request, registry: Origin) -> Answer:
        authorization = self.authorizer.known(ref, actions)
        answer = await self._follow(request, registry, authorization)
        if answer.status == 401 and origin_of(answer.url) == registry:
            authorization = await self.authorizer.answer(ref, actions, answer, authorization)
            if authorization:
                answer = await self._follow(request, registry, authorization)
        return answer

    async def _follow(self, request: Request, registry: Origin, authorization: str) -> Answer:
        """The answer behind all redirects; ``Authorization`` goes to the registry's own origin alone."""
        url = request.url
        for _ in range(_MAX_REDIRECTS + 1):
            own = authorization and origin_of(url) == registry
            headers = {**request.headers, "Authorization": authorization} if own else request.headers
            answer = await self._wire.send(
                Request(request.method, url, headers, request.content, request.limit, request.into)
            )
            location = answer.header("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            url = self.target(registry, url, location, what="the redirect")
            self._check_method(request.method, answer, registry, url)
        raise Refused(f"{shown_url(request.url)} leads through more than {_MAX_REDIRECTS} redirects")

    def target(self, registry: Origin, source: str, location: str, *, what: str) -> str:
        """Where ``location`` leads, if that is allowed; see ``targets.py``."""
        url = resolved(source, location)
        verify_target(registry, source, url, what=what, allow_http=self._options.http_allowed)
        return url

    @staticmethod
    def _check_method(method: str, answer: Answer, registry: Origin, url: str) -> None:
        if method in ("GET", "HEAD") or (answer.status in (307, 308) and origin_of(url) == registry):
            return
        raise Refused(f"{shown_url(answer.url)} redirects a {method} to {shown_url(url)}", "only reading is sent on")

    # --- errors ----------------------------------------------------------------------------------------
    def _refusal(self, ref: Reference, answer: Answer) -> SigError:
        said = f"{shown_url(answer.url)} answered {answer.status}: {_words(answer.body)}"
        status = answer.status
        if status == 404:
            return NotFound(said, f"does {ref.name} hold it?")
        if status in _AGAIN or status >= 500:
            unavailable = Busy(said, "try again later")
            unavailable.after_s = _seconds(answer.header("retry-after"))
            return unavailable
        hint = _HINTS.get(status, "")
        if status == 401 and self.authorizer.is_anonymous(ref):
            hint = f"it wants credentials and none are here: docker login {ref.registry}, or --registry-username"
        return ServiceRefused(said, hint, status=status, body=answer.body)


class Busy(Unavailable):
    """An answer that says: later. ``after_s`` is when, in seconds; 0 where it does not say."""

    after_s: float = 0.0


_HINTS: Final = {
    401: "the credentials were not accepted",
    403: "the user may not do this in this repository",
    405: "this registry does not do that; deleting is often switched off",
}


def _seconds(text: str) -> float:
    try:
        return float(parse_decimal(text, what="Retry-After"))
    except SigError:
        return 0.0


def _words(body: bytes) -> str:
    """Codes and messages of the registry's error JSON, else the start of the text."""
    try:
        fields = Fields.of(parse_json(body, what="the error", limit=limits.TEXT, floats=True), "the error")
        errors = fields.objects("errors", limit=10)
        words = "; ".join(f"{one.optional_text('code')} {one.optional_text('message')}".strip() for one in errors)
    except SigError:
        words = ""
    return shown(words or body.decode("utf-8", "replace").strip(), _WORDS) if body else "(nothing)"
