# SPDX-License-Identifier: Apache-2.0
"""Under which names a log may sign its head: that of its host, in each generation, or whatever a key alone has signed under."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client.verify import log as module
from client.verify.log import BY_KEY, read_head
from sigcore import checkpoint, keys, note
from sigcore.errors import Refused
from sigcore.trustroot import LogInstance
from tests.unit.client.minilog import MiniLog, MiniLogV1
from tests.unit.client.minisig import MiniSigstore

ROOT = bytes(range(32))


@pytest.fixture(autouse=True)
def forgotten():
    """Each test reads its heads as the first of their log."""
    read_head.cache_clear()
    module._usual_forms.cache_clear()


def instance(log: MiniLog, url: str) -> LogInstance:
    return replace(MiniSigstore._instance(log), base_url=url)


def head(log: MiniLog, origin: str, name: str = "", *, others: tuple[str, ...] = ()) -> str:
    """A signed head; ``others`` name strangers whose signatures stand before that of the log."""
    text = checkpoint.encode_checkpoint(checkpoint.Checkpoint(origin, 7, ROOT))
    body, own = note.encode_note(note.sign_note(text, name or log.origin, log.key)).split("\n\n")
    strange = [note.encode_note(note.sign_note(text, other, keys.generate_p256())) for other in others]
    return f"{body}\n\n" + "".join(one.split("\n\n")[1] for one in strange) + own


@pytest.mark.parametrize("host", ["sig.example", "xylo.example", "e.mx", "10.0.0.1", "a"])
def test_a_log_signs_under_the_name_of_its_host(host):
    one, other = MiniLogV1(host), MiniLog(host)
    assert read_head(head(one, f"{host} - 42"), instance(one, f"https://{host}:1/path"), 1).size == 7
    assert read_head(head(other, host), instance(other, f"https://{host}:1/path"), 2).size == 7


def test_an_address_has_no_brackets_in_a_name():
    log = MiniLog("2001:db8::1")
    assert read_head(head(log, log.origin), instance(log, "http://[2001:DB8::1]:3000"), 2).root == ROOT


def test_a_log_of_v1_may_have_been_told_its_port():
    log = MiniLogV1("sig.example:3000")
    found = read_head(head(log, f"{log.origin} - 42"), instance(log, f"http://{log.origin}"), 1)
    assert found.origin == "sig.example:3000 - 42"
    with pytest.raises(Refused, match=r"not signed by sig\.example"):
        read_head(head(log, f"{log.origin} - 42"), instance(log, "http://sig.example:3001"), 1)


def test_only_a_log_of_v1_counts_its_trees():
    one, other = MiniLogV1("sig.example"), MiniLog("sig.example")
    url = "http://sig.example"
    assert read_head(head(one, "sig.example"), instance(one, url), 1).origin == "sig.example"
    with pytest.raises(Refused, match=r"expected 'sig\.example'|of the log 'sig\.example - 42'"):
        read_head(head(other, "sig.example - 42"), instance(other, url), 2)


def test_a_log_that_is_known_by_its_key_has_the_name_that_this_key_signs_under():
    log = MiniLogV1("any.example")
    text = head(log, "any.example - 42", others=("first.example", "second.example"))
    assert read_head(text, instance(log, BY_KEY), 1).origin == "any.example - 42"
    with pytest.raises(Refused, match=r"expected 'other\.example' and its tree"):
        read_head(head(log, "any.example - 42", name="other.example"), instance(log, BY_KEY), 1)
    stranger = MiniLogV1("any.example")
    with pytest.raises(Refused, match="not signed by"):
        read_head(head(stranger, "any.example - 42"), instance(log, BY_KEY), 1)


@pytest.mark.parametrize("generation", [1, 2])
def test_a_head_that_others_have_signed_too_says_nothing_of_the_usual_form(generation):
    log = (MiniLogV1 if generation == 1 else MiniLog)("sig.example")
    known = instance(log, "http://sig.example")
    assert read_head(head(log, log.origin, others=("witness.example",)), known, generation).size == 7
    assert module._usual_forms(known, generation) == []
    read_head(head(log, log.origin), known, generation)
    (form,) = module._usual_forms(known, generation)
    assert (form.origin, form.signer) == ("sig.example", "\u2014 sig.example ")
