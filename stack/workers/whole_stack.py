# SPDX-License-Identifier: Apache-2.0
"""``sigbox up --workers N``: every role, of which the workers answer what is hot."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sigcore.errors import SigError
from stack.bootstrap import load_material, load_oidc_key
from stack.compose import compose_front
from stack.edge import Edge
from stack.generations import LOGS
from stack.health import Check
from stack.live_issuers import LiveIssuers, issuer_files
from stack.running import announce, composed, keep_up, utc_now
from stack.start import Plan, Prepared
from stack.workers.crew import Crew, Reached, Served

_log = logging.getLogger("sigbox.workers")


def crew_of(prepared: Prepared, plan: Plan) -> Crew:
    """The processes that were asked for; waits for what is still being made. Errors: of making it."""
    prepared.oidc_key.result()
    prepared.publication.finish()
    home = prepared.home
    return Crew(
        workers=plan.workers or 1,
        commit=partial(_commit, prepared, plan),
        front=partial(_front, prepared, plan),
        announce=partial(announce, prepared, plan.ready_file),
        locked=tuple(home.path / log for log in LOGS),
        ready_file=plan.ready_file,
        log_format=plan.log_format,
        behind_proxy=plan.behind_proxy,
        quota=plan.quota,
        mortal=prepared.settings.ephemeral,
    )


def _commit(prepared: Prepared, plan: Plan, edge: Edge, checks: Mapping[str, Check]) -> Served:
    prepared = _as_it_is_now(prepared, plan)
    app = composed(prepared, plan, load_oidc_key(prepared.home), edge, checks)
    return Served(app, (partial(keep_up, prepared), prepared.issuers.watch))


def _front(prepared: Prepared, plan: Plan, edge: Edge, reached: Reached) -> Served:
    prepared = _as_it_is_now(prepared, plan)
    app = compose_front(
        prepared.home,
        prepared.settings,
        prepared.material,
        prepared.issuers,
        utc_now,
        logs=reached.logs,
        floor=reached.floors["tsa"],
        elsewhere=reached.elsewhere,
        control_api=plan.control,
        edge=edge,
    )
    return Served(app, (prepared.issuers.watch,), prepared.tls)


def _as_it_is_now(prepared: Prepared, plan: Plan) -> Prepared:
    """With the keys and issuers of this moment: who takes the place of another comes long after the start.

    Issuers that cannot be used leave those of the start in place, as in a running authority.

    Raises:
        NotFound, Malformed, Refused: a key cannot be read.
    """
    prepared = replace(prepared, material=load_material(prepared.home))
    try:
        return replace(prepared, issuers=LiveIssuers(issuer_files(prepared.home, plan.config)))
    except (SigError, OSError) as error:
        _log.error("the issuers cannot be used, so those of the start stay: %s", error)
        return prepared
