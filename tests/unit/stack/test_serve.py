# SPDX-License-Identifier: Apache-2.0
"""``sigbox up`` in this process, as far as its first start fails."""

import gc
import time

import pytest

from sigcore.errors import Malformed
from stack import bootstrap
from stack.config import Home
from stack.serve import serve
from stack.start import Plan


def test_a_first_start_that_fails_takes_away_what_its_threads_have_still_to_write(tmp_path, monkeypatch):
    key, written = bootstrap.oidc_key, []

    def slow(home, settings):
        time.sleep(0.3)
        written.append(key(home, settings))
        return written[0]

    monkeypatch.setattr(bootstrap, "oidc_key", slow)
    config = tmp_path / "stack.toml"
    config.write_text('[[watch]]\nname = "a"\nidentity = "^root$"\n')
    data = tmp_path / "data"
    try:
        with pytest.raises(Malformed, match="watch 1"):
            serve(Plan(Home(data), "127.0.0.1", 0, None, control=False, config=config, ready_file=None))
    finally:
        gc.enable()
    assert written, "the start has ended before its thread"
    assert not data.exists()
