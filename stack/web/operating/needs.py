# SPDX-License-Identifier: Apache-2.0
"""What has to be done, each with the command that does it. Pure: it judges what others have read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from sigcore.values import dataclass
from stack.trust.state import ONLINE, RoleState
from stack.watch.store import State, Watched
from stack.web.operating.growth import Disk
from stack.web.operating.keys import ShownCertificate

LOW_BYTES: Final = 1024**3
LOW_DAYS: Final = 30
SOON: Final = timedelta(days=180)
"""A successor of an authority has to be known to every client before."""
SOON_TLS: Final = timedelta(days=14)
"""The stack makes its own anew long before."""


@dataclass(frozen=True, slots=True)
class Need:
    """``text`` is English and a key of the translations, with ``values`` for what stands in braces."""

    text: str
    command: str
    values: Mapping[str, object]


def of_roles(answers: Mapping[str, str], data: str) -> Iterator[Need]:
    """A role that does not do its work."""
    for role, answer in answers.items():
        if answer != "ok":
            yield Need(
                "The role {role} does not do its work: {reason}",
                f"sigbox doctor --data {data}",
                {"role": role, "reason": answer},
            )


def of_tuf(roles: tuple[RoleState, ...], now: datetime, data: str) -> Iterator[Need]:
    """Metadata that somebody has to sign."""
    for role in roles:
        following = "root propose" if role.by_people else "rotate tuf"
        refresh = f"sigbox trust {following if role.role == 'root' else 'refresh'} --data {data}"
        verdict, days = role.verdict(now), role.left(now) // timedelta(days=1)
        said = {"role": role.role, "days": days}
        if verdict == "expired":
            yield Need("The TUF role {role} has expired: clients refuse it.", refresh, said)
        elif verdict == "ahead":
            yield Need(
                "The TUF role {role} was signed by a clock that was ahead, or the clock is behind now.", "date -u", said
            )
        elif verdict == "due" and role.role not in ONLINE:
            yield Need("The TUF role {role} is good for {days} days only.", refresh, said)


def of_certificates(found: tuple[ShownCertificate, ...], now: datetime, data: str) -> Iterator[Need]:
    """A certificate that ends soon; the first of each authority is enough."""
    said = set[str]()
    for one in found:
        left = one.ends - now
        if one.of in said or left >= (SOON_TLS if one.of == "TLS" else SOON):
            continue
        said.add(one.of)
        values = {"name": one.name, "days": left // timedelta(days=1)}
        following = f"sigbox trust {'request' if one.corporate else 'rotate'} {one.of.lower()} --data {data}"
        command = "sigbox up --tls auto" if one.of == "TLS" else following
        yield Need("The certificate {name} ends in {days} days.", command, values)


def of_logs(faults: Mapping[str, str], data: str) -> Iterator[Need]:
    """A log that takes no entries."""
    for name, fault in faults.items():
        if fault:
            yield Need(
                "The log {log} takes no entries: {reason}", f"sigbox fsck --data {data}", {"log": name, "reason": fault}
            )


def of_disk(disk: Disk | None, data: str) -> Iterator[Need]:
    """A disk that fills."""
    if disk is None:
        return
    values = {"free": f"{disk.free / 1024**3:.1f}", "days": disk.days_left}
    command = f"du -ah {data} | sort -h | tail"
    if disk.free < LOW_BYTES:
        yield Need("Only {free} GiB are left on the disk: a full one takes no entries.", command, values)
    elif disk.days_left is not None and disk.days_left < LOW_DAYS:
        yield Need("At this pace the disk is full in {days} days.", command, values)


def of_alerts(watched: Watched | None, fault: str, data: str) -> Iterator[Need]:
    """Rules that nobody follows, and alerts that nobody took."""
    if fault:
        yield Need("The watch rules are not followed: {reason}", f"sigbox doctor --data {data}", {"reason": fault})
    if watched is None:
        return
    given_up = watched.numbers.get(State.GIVEN_UP, 0)
    late = [alert for alert in watched.alerts if alert.state is State.WAITING and alert.tries]
    journal = "journalctl -u sigbox | grep 'alert '"
    if given_up:
        text = "{count} alerts were given up: the webhook took none of them. A start tries them again."
        yield Need(text, "systemctl restart sigbox", {"count": given_up})
    elif late:
        text = "The webhook takes no alerts; they are tried again: {reason}"
        yield Need(text, journal, {"reason": late[0].said})
    if watched.dropped:
        yield Need("{count} alerts were dropped untold: there were too many.", journal, {"count": watched.dropped})
