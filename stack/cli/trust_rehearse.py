# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust rehearse DATE``: what breaks by then, and the command that prevents it."""

from __future__ import annotations

import argparse
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

from sigcore.errors import SigError
from sigcore.strict import encode_time, parse_decimal, parse_time, shown
from stack.cli.placing import add_data_option
from stack.cli.table import ExitCode
from stack.cli.usage import Usage
from stack.config import Home, load_settings
from stack.trust.rehearsal import BREAKS, DUE, RENEWS, End, check_whole, rehearse
from stack.turned_clock import time_in

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_DAYS = re.compile(r"\+([0-9]{1,5})d\Z", re.ASCII)
_AFTERWARDS = {DUE: "due", RENEWS: "renews itself"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust rehearse``."""
    parser.add_argument("date", metavar="DATE", help="a day (2027-06-30, to its end in UTC), a moment, or +90d")
    add_data_option(parser)
    parser.add_argument("--tls", metavar="CERT", type=Path, help="the certificate that you serve with --tls CERT,KEY")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")


def run(home: Home, options: argparse.Namespace) -> int:
    """0 when nothing breaks by that date, else 1."""
    now = time_in(home)
    by = moment_of(options.date, now)
    load_settings(home)
    check_whole(home)
    ends = rehearse(home, options.tls)
    breaking = [end for end in ends if end.when <= by and _breaks(end, now)]
    if options.json:
        rows = [_row(end, by, now) for end in ends]
        print(json.dumps({"by": encode_time(by), "breaks": len(breaking), "ends": rows}, indent=2))
    else:
        print("\n".join(_lines(ends, breaking, by, now)))
    return ExitCode.REFUSED if breaking else ExitCode.DONE


def _breaks(end: End, now: datetime) -> bool:
    """What should have renewed itself and did not is broken."""
    return end.kind == BREAKS or (end.kind == RENEWS and end.when <= now)


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that DATE means: the last one of a day, a moment as it is, or so many days from ``now``.

    Raises:
        Usage: it is none of these.
    """
    try:
        if days := _DAYS.match(text):
            return now.replace(microsecond=0) + timedelta(
                days=parse_decimal(days[1].lstrip("0") or "0", what="the days")
            )
        if _DAY.match(text):
            return parse_time(f"{text}T23:59:59Z", what="the date")
        return parse_time(text, what="the date")
    except (SigError, OverflowError) as error:
        raise Usage(
            f"the date is {shown(text)}", "expected for example 2027-06-30, 2027-06-30T12:00:00Z or +90d"
        ) from error


def _row(end: End, by: datetime, now: datetime) -> dict[str, object]:
    return {
        "when": encode_time(end.when),
        "daysLeft": (end.when - now) // timedelta(days=1),
        "what": end.what,
        "kind": end.kind,
        "before": end.when <= by,
        "noticed": end.noticed,
        "prevent": end.prevent,
    }


def _lines(ends: tuple[End, ...], breaking: list[End], by: datetime, now: datetime) -> list[str]:
    reached = [end for end in ends if end.when <= by]
    count = f"{len(breaking)} of {len(ends)} things that end break" if breaking else "nothing breaks"
    first = next((end for end in ends if end.when > by and end.kind == BREAKS), None)
    lines = [f"by {encode_time(by)} {count}"]
    for end in reached:
        left = (end.when - now) // timedelta(days=1)
        lines += [
            f"  {end.when:%Y-%m-%d}  {'BREAKS' if end in breaking else _AFTERWARDS[end.kind]:<14}{end.what}, in {left} days",
            f"{'':<14}noticed by: {end.noticed}",
            f"{'':<14}prevent it: {end.prevent}",
        ]
    if first is not None:
        lines.append(f"next: {end_line(first)}")
    return lines


def end_line(end: End) -> str:
    """One line about what comes after the date."""
    return f"{end.when:%Y-%m-%d}  {end.what}; {end.prevent}"
