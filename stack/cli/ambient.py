# SPDX-License-Identifier: Apache-2.0
"""``sigbox env ambient SOURCE``: what a job would find around it, so that a client takes its token from there by itself.

Each source is imitated by a stack that was started with ``--ephemeral --control``, for one persona.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stack.cli.asking import ask_control, ask_for
from stack.personas import AUDIENCE, Persona

TOKEN_FILE: Final = "/var/run/sigstore/cosign/oidc-token"  # noqa: S105 - a path, where cosign and gitsign look
_SVID_FILE: Final = "sigbox-svid.jwt"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a job finds: variables, files as (path, content), and programs with what they read, as (name, content)."""

    environment: Mapping[str, str]
    files: tuple[tuple[str, str], ...] = ()
    programs: tuple[tuple[str, str], ...] = ()

    def lines(self, folder: Path | None) -> list[str]:
        """What can be pasted into a shell; ``folder`` is where the programs were put."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        for path, content in self.files:
            quoted = shlex.quote(path)
            lines.append(
                f"mkdir -p {shlex.quote(str(Path(path).parent))} && printf %s {shlex.quote(content)} > {quoted}"
            )
        if self.programs and folder is not None:
            lines.append(f'export PATH={shlex.quote(str(folder))}:"$PATH"')
        elif self.programs:
            lines.append(f"# for clients that run {self.programs[0][0]}: give --bin DIR, and it is put there")
        return lines

    def place(self, folder: Path) -> None:
        """Put the programs into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.programs:
            (folder / name).write_text(content, "utf-8")
            if content.startswith("#!"):
                (folder / name).chmod(0o755)


@dataclass(frozen=True, slots=True)
class Ambient:
    """One source: the persona that it has by default, and how it comes about at the stack ``url``."""

    persona: str
    about: str
    make: Callable[[str, Persona], Surroundings]


def _token(url: str, persona: Persona) -> str:
    return ask_control(url, "token", json.dumps(persona.document()).encode())


def _served(source: str, url: str, persona: Persona) -> dict[str, str]:
    body = json.dumps({"source": source, "persona": persona.document()}).encode()
    fields = ask_for(url, "ambient", body).object("ambient")
    return {name: fields.text(name) for name in fields.names()}


def _github(url: str, persona: Persona) -> Surroundings:
    return Surroundings(_served("github", url, persona))


def _buildkite(url: str, persona: Persona) -> Surroundings:
    programs = _programs("buildkite-agent", "oidc request-token --audience", '"$4"', url, persona)
    return Surroundings(_served("buildkite", url, persona), programs=programs)


def _circleci(url: str, persona: Persona) -> Surroundings:
    programs = _programs("circleci", "run oidc get", AUDIENCE, url, persona)
    return Surroundings({"CI": "true", "CIRCLECI": "true"}, programs=programs)


def _programs(name: str, words: str, audience: str, url: str, persona: Persona) -> tuple[tuple[str, str], ...]:
    """A program that mints a token when it is called with these three ``words``, and the persona beside it."""
    mint = shlex.join((sys.executable, "-m", "stack.cli", "token", "--url", url))
    script = f"""\
#!/bin/sh
test "$1 $2 $3" = {shlex.quote(words)} || exit 2
exec {mint} --persona "$(dirname "$0")/{name}.json" --audience {audience}
"""
    return (name, script), (f"{name}.json", json.dumps(persona.document(), indent=2))


def _gitlab(url: str, persona: Persona) -> Surroundings:
    return Surroundings({"CI": "true", "GITLAB_CI": "true", "SIGSTORE_ID_TOKEN": _token(url, persona)})


def _variable(url: str, persona: Persona) -> Surroundings:
    return Surroundings({"SIGSTORE_ID_TOKEN": _token(url, persona)})


def _file(url: str, persona: Persona) -> Surroundings:
    return Surroundings({}, files=((TOKEN_FILE, _token(url, persona)),))


def _spiffe(url: str, persona: Persona) -> Surroundings:
    path = str(Path(_SVID_FILE).absolute())
    return Surroundings({"SIGBOX_SPIFFE_JWT_FILE": path}, files=((path, _token(url, persona)),))


SOURCES: Final[Mapping[str, Ambient]] = {
    "github": Ambient("github-workflow", "GitHub Actions: the URL that a job asks", _github),
    "gitlab": Ambient("gitlab-pipeline", "GitLab: id_tokens with the audience sigstore", _gitlab),
    "buildkite": Ambient("buildkite-job", "Buildkite: the agent's API, and the agent itself", _buildkite),
    "circleci": Ambient("circleci-job", "CircleCI: its command", _circleci),
    "variable": Ambient("github-workflow", "a token in SIGSTORE_ID_TOKEN", _variable),
    "file": Ambient("kubernetes", "a token in the file that cosign and gitsign look for", _file),
    "kubernetes": Ambient("kubernetes", "the same: a projected service account token", _file),
    "spiffe": Ambient("spiffe", "a JWT-SVID in a file, as spiffe-helper writes it", _spiffe),
}
"""Name -> what it is. A token in a variable or a file lives ten minutes."""


def surroundings(source: str, url: str, persona: Persona) -> Surroundings:
    """What a job of ``persona`` finds where ``source`` is.

    Raises:
        Unavailable, Refused: the stack at ``url`` does not answer, or has no control API.
    """
    return SOURCES[source].make(url, persona)
