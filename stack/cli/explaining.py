# SPDX-License-Identifier: Apache-2.0
"""Shows the explanation of a run: the text, and the folder with the files that its shell lines read."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from client.explain.part import Part
from client.explain.text import WIDEST, encode_text, explanation_json
from sigcore.strict import JSON
from stack.cli.artifact import is_digest
from stack.cli.usage import Usage
from stack.files import make_folder, save_file


class Explainer:
    """Takes the explanation of one file after the other. ``out`` is where its text goes, if not beside the report.

    Raises:
        Usage: the folder that was named holds something already.
    """

    def __init__(self, options: argparse.Namespace, out: TextIO | None = None) -> None:
        self._json = options.explain == "json"
        self._out: TextIO = out or (sys.stderr if options.json else sys.stdout)
        self._folder = Path(options.explain_dir).absolute() if options.explain_dir is not None else None
        if self._folder is not None and self._folder.exists() and any(self._folder.iterdir()):
            raise Usage(f"--explain-dir {self._folder} is not empty", "name a new folder, or an empty one")
        self._count = 0

    def show(self, file: str, parts: Sequence[Part]) -> dict[str, JSON]:
        """Write the files, print the text; what the report says about it is the answer."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="sigbox-explain-"))
        self._count += 1
        folder = self._folder / str(self._count)
        make_folder(folder, 0o755, durable=False)
        for part in parts:
            for name, data in part.files:
                save_file(folder / name, data, durable=False)
        if not self._json:
            self._out.write(f"{ascii(file)[1:-1]}, step by step; the lines are for this folder:\n")
            width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
            self._out.write(f"    $ cd {shlex.quote(str(folder))}\n\n{encode_text(parts, width)}\n")
        return {"folder": str(folder), "steps": explanation_json(parts)}


def place_of(file: str) -> str:
    """The absolute path of FILE, or nothing where it is a digest."""
    return "" if is_digest(file) else str(Path(file).absolute())
