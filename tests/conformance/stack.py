# SPDX-License-Identifier: Apache-2.0
"""A stack for the conformance suite: ``python -m tests.conformance.stack HOST:PORT`` runs it in the foreground, until it is ended.

Into ``$PRIVATE_DIR`` go the files that the suite's wrapper gives to the client where the suite names none: trusted_root.json,
signing_config.json, and token.txt, one identity token that outlives a run of the suite.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.stack_process import RunningStack, running_stack

SIGNER = "conformance@example.com"


def save_files(stack: RunningStack, folder: Path) -> None:
    """The three files; the token last, for it says that the others are there."""
    shutil.copy(stack.trusted_root, folder / "trusted_root.json")
    shutil.copy(stack.signing_config, folder / "signing_config.json")
    (folder / "token.new").write_text(stack.token(SIGNER))
    (folder / "token.new").rename(folder / "token.txt")


def main(listen: str) -> int:
    """Run until SIGTERM or SIGINT."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as place, running_stack(Path(place), "--ephemeral", "--listen", listen) as stack:
        save_files(stack, Path(os.environ["PRIVATE_DIR"]))
        print(f"{stack.url}, issuer {stack.oidc_issuer}", flush=True)
        stack.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
