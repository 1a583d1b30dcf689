# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oidc_dev.rules import LoginRules
from sigcore.errors import Malformed
from stack.login_rules import load_login_rules


def rules(tmp_path, *texts: str) -> LoginRules:
    files = [tmp_path / f"{number}.toml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return load_login_rules(files)


def test_who_says_nothing_gets_the_defaults(tmp_path):
    assert rules(tmp_path) == rules(tmp_path, "listen = 1\n[other]\nx = 1") == LoginRules()


def test_a_later_file_has_the_last_word(tmp_path):
    found = rules(
        tmp_path, "[login]\npasses = 20\nidle_minutes = 5", "[login]\npasses = 8\nsession_hours = 0\nkey_days = 2"
    )
    assert found == LoginRules(passes=8, idle_s=300, session_s=0, key_s=172800)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("login = 7", "expected a table"),
        ("[login]\npass = 7", "unknown member"),
        ("[login]\npasses = '7'", "whole number"),
        ("[login]\npasses = 7.5", "whole number"),
        ("[login]\npasses = true", "whole number"),
        ("[login]\npasses = 1", "passes"),
        ("[login]\nidle_minutes = 0", "session"),
        ("[login]\nsession_hours = 10000", "session"),
        ("[login]\nkey_days = -1", "key that signs"),
        ("[login]\nkey_days = 4000", "key that signs"),
        ("[login", "TOML"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_file_that_says_it(tmp_path, text, because):
    with pytest.raises(Malformed, match=because) as refused:
        rules(tmp_path, text)
    assert "0.toml" in str(refused.value)
