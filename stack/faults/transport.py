# SPDX-License-Identifier: Apache-2.0
"""Faults of the way there and back: nothing that arrives is untrue, but it comes late, not at all, or half."""

from __future__ import annotations

import asyncio

from aiohttp import web

from stack import plain
from stack.faults.fault import Handler, Lie, Take
from stack.faults.means import Means
from stack.faults.parameters import ROLES, Parameters
from stack.traffic import role_of, route_of

RETRY_AFTER_S = 1
_LOGS = {"rekor": "log", "rekor-v1": "log"}


def serving(request: web.Request) -> str:
    """The role of :data:`~stack.faults.parameters.ROLES` that a request is for; something else where it is for none of them."""
    role = role_of(route_of(request))
    return _LOGS.get(role, role)


def slow(_means: Means, parameters: Parameters) -> Lie:
    """The answer begins after ``seconds``."""

    async def lie(request: web.Request, handler: Handler, take: Take) -> web.StreamResponse:
        if _meant(request, parameters) and take():
            await asyncio.sleep(parameters.seconds)
        return await handler(request)

    return lie


def error(_means: Means, parameters: Parameters) -> Lie:
    """The answer is ``status``, in the form that errors of the role have; the role is not asked."""

    async def lie(request: web.Request, handler: Handler, take: Take) -> web.StreamResponse:
        if not (_meant(request, parameters) and take()):
            return await handler(request)
        response = plain.refusal(parameters.status, "this answer is a fault that was asked for", request.path)
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response

    return lie


def cut(_means: Means, parameters: Parameters) -> Lie:
    """The role answers, and the connection ends in the middle of that."""

    async def lie(request: web.Request, handler: Handler, take: Take) -> web.StreamResponse:
        response = await handler(request)
        if not (_meant(request, parameters) and take()):
            return response
        return await _half(request, response)

    return lie


async def _half(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Head and first half of ``response``, then the end; of one without a body nothing at all comes."""
    body = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(body)
    if body and not response.prepared:
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def _meant(request: web.Request, parameters: Parameters) -> bool:
    role = serving(request)
    return role == parameters.role if parameters.role else role in ROLES
