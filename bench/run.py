# SPDX-License-Identifier: Apache-2.0
"""All benchmarks, as a table or as JSON. A goal that is not met is said; the exit code is 0 all the same."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict

from bench import (
    client_verify,
    hashing,
    log_scale,
    logins,
    pages,
    postgres,
    rekor_add,
    search,
    signing_cert,
    startup,
    timestamps,
    tokens,
    whole_signature,
    workers,
)
from bench.reference import Figure, verifies_per_second

BENCHMARKS: dict[str, Callable[[int], list[Figure]]] = {
    "startup": startup.run,
    "rekor-add": rekor_add.run,
    "workers": workers.run,
    "postgres": postgres.run,
    "log-scale": log_scale.run,
    "signing-cert": signing_cert.run,
    "logins": logins.run,
    "whole-signature": whole_signature.run,
    "timestamps": timestamps.run,
    "tokens": tokens.run,
    "client-verify": client_verify.run,
    "search": search.run,
    "pages": pages.run,
    "hashing": hashing.run,
}


def main() -> None:
    """Run what the command line names, in this order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")

    figures = [Figure("R: P-256 verifications, one core", f"{verifies_per_second(1):.0f} /s")]
    for name in options.names or BENCHMARKS:
        figures += BENCHMARKS[name](options.rounds)
    print(json.dumps([asdict(figure) for figure in figures], indent=2) if options.json else table(figures))


def table(figures: list[Figure]) -> str:
    """Columns: what, measured, ratio, goal, whether it is met."""
    rows = [
        (
            figure.name,
            figure.value,
            "" if figure.ratio is None else f"{figure.ratio:.3g} {figure.unit}",
            figure.goal,
            {None: "", True: "met", False: "not met"}[figure.met],
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


if __name__ == "__main__":
    main()
