# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oidc_dev.redirects import OUT_OF_BAND, is_redirect_uri


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n/", "\x00", "\t", "\u2028"])
@pytest.mark.parametrize("uri", ["http://localhost:1", "http://localhost:1/callback", OUT_OF_BAND])
def test_nothing_comes_after_a_redirect_uri_o13(uri, end):
    assert is_redirect_uri(uri)
    assert not is_redirect_uri(uri + end)
    assert not is_redirect_uri(end + uri)


def test_every_port_is_a_port():
    assert all(is_redirect_uri(f"http://localhost:{port}/") for port in range(1, 65536))


@pytest.mark.parametrize("port", [0, 65536, 65540, 65600, 66000, 70000, 100000, "00001", "1x", "-1", "+1", "\u0661"])
def test_nothing_else_is_a_port(port):
    assert not is_redirect_uri(f"http://localhost:{port}/")


def test_every_octet_of_the_loopback_network_has_one_spelling():
    for octet in range(256):
        assert is_redirect_uri(f"http://127.{octet}.{octet}.{octet}/")
        assert not is_redirect_uri(f"http://127.0.0.0{octet}/")
    assert not is_redirect_uri("http://127.0.0.256/")
