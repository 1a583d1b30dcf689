# SPDX-License-Identifier: Apache-2.0
"""Forms and queries: what every reader takes for the same is taken, anything else is refused."""

from __future__ import annotations

import pytest

from oidc_dev.parameters import parse_parameters
from sigcore.errors import Malformed


@pytest.mark.parametrize("data", [b"scope=openid%20email", b"scope=openid+email", b"scope=openid email"])
def test_a_space_is_one_however_it_is_written(data):
    """`curl --data` and people write it as it is."""
    assert parse_parameters(data, what="the form") == {"scope": "openid email"}


@pytest.mark.parametrize(
    "data", [b"a=%", b"a=%2", b"a=%zz", b"a=\t", b"a=\n", b"a=\xc3\xa4", b"a=%ff", b"a=%00", b"a=1&a=2"]
)
def test_what_readers_could_take_for_different_things_is_refused(data):
    with pytest.raises(Malformed, match="the form"):
        parse_parameters(data, what="the form")
