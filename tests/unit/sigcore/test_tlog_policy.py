# SPDX-License-Identifier: Apache-2.0
"""Witness policies, sentence by sentence of C2SP tlog-policy; their quorums, against a count that is written down another way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from sigcore import keys, limits
from sigcore.checkpoint import Checkpoint, encode_checkpoint
from sigcore.cosignature import cosign, cosigner_key, encode_log_verifier, encode_witness_verifier
from sigcore.errors import Malformed, Refused
from sigcore.note import Note, NoteSignature, encode_note, note_key, sign_note
from sigcore.tlog_policy import (
    NONE,
    NotCosigned,
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    TlogPolicy,
    describe_quorum,
    encode_tlog_policy,
    makes_quorum,
    parse_tlog_policy,
    verify_witnessed,
)

ORIGIN = "log.example"
TIME = 1_700_000_000


def ed25519_key(number: int) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


LOG_KEY = ed25519_key(1000)
P256 = keys.generate_p256()
LOG = encode_log_verifier(note_key(ORIGIN, LOG_KEY.public_key()))
LOG_P256 = encode_log_verifier(note_key("p256.example", P256.public_key()))
KEYS = [ed25519_key(number) for number in range(1, 9)]
NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
VKEYS = [encode_witness_verifier(cosigner_key(f"w{n}.example", key.public_key())) for n, key in enumerate(KEYS, 1)]
WITNESS = f"witness X1 {VKEYS[0]}\n"
EXAMPLE = f"""log {LOG}

witness X1 {VKEYS[0]}
witness X2 {VKEYS[1]} https://x2.example/witness
witness X3 {VKEYS[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {VKEYS[3]}
witness Y2 {VKEYS[4]}
witness Y3 {VKEYS[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def parsed(text: str) -> TlogPolicy:
    return parse_tlog_policy(text.encode())


# --- the format ------------------------------------------------------------------------------------------
def test_the_example_of_the_specification():
    policy = parsed(EXAMPLE)
    assert [log.key.name for log in policy.logs] == [ORIGIN]
    assert [one.name for one in policy.witnesses] == NAMES
    assert [one.url for one in policy.witnesses] == ["", "https://x2.example/witness", "", "", "", ""]
    assert [(group.name, group.threshold) for group in policy.groups] == [
        ("X-witnesses", 2),
        ("Y-witnesses", 1),
        ("X-and-Y", 2),
    ]
    assert describe_quorum(policy) == "all of (2 of (X1, X2, X3), any of (Y1, Y2, Y3))"


@pytest.mark.parametrize(
    "text",
    [
        "quorum none\n",
        "\n \t\n# comment \x7e\n\t # another\n \tquorum\t \tnone \t\n",
        f"quorum none\nlog {LOG_P256} http://p256.example\nlog {LOG}\n",
        f"{WITNESS}quorum X1\n# and what comes after it\nwitness X2 {VKEYS[1]}\ngroup G any X2\n",
        f"witness all {VKEYS[0]}\nwitness 2 {VKEYS[1]}\ngroup quorum all all 2\nquorum quorum\n",
        f"witness K {VKEYS[0]}\nwitness \u212a {VKEYS[1]} https://\u4f8b.example\ngroup G 1 \u212a K\nquorum G\n",
    ],
)
def test_what_the_format_allows(text):
    policy = parsed(text)
    assert parse_tlog_policy(encode_tlog_policy(policy)) == policy


def test_names_are_octets():
    data = f"witness a\\xff {VKEYS[0]}\n".encode() + b"witness a\xff " + f"{VKEYS[1]}\nquorum ".encode() + b"a\xff\n"
    policy = parse_tlog_policy(data)
    assert makes_quorum(policy, {policy.witnesses[1].name})
    assert not makes_quorum(policy, {policy.witnesses[0].name})
    assert encode_tlog_policy(policy) == data
    assert describe_quorum(policy).isascii()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line `quorum`"),
        (f"{WITNESS}group G any X1\n", "no line `quorum`"),
        ("quorum none\nquorum none\n", "line 2 of the witness policy: it is a second line `quorum`"),
        ("quorum none", "does not end with a newline"),
        ("quorum none\r\n", "line 1 of the witness policy has the octet 0x0d"),
        ("# \x7f\nquorum none\n", "has the octet 0x7f"),
        ("quorum none\n#\x00\n", "line 2 of the witness policy has the octet 0x00"),
        ("quorum\u00a0none\n", "it begins with"),
        ("Quorum none\n", "it begins with 'Quorum'"),
        ("quorum X1\n", "'X1' is no witness or group of a line before"),
        (f"quorum X1\n{WITNESS}", "'X1' is no witness or group of a line before"),
        ("quorum\n", "expected `quorum NAME`"),
        (f"{WITNESS}quorum X1 X1\n", "expected `quorum NAME`"),
        ("quorum none # nobody\n", "expected `quorum NAME`"),
        ("log\n", "expected `log VKEY"),
        (f"log {LOG} url more\n", "expected `log VKEY"),
        (f"log {VKEYS[0]}\n", "of type 0x04, expected that of a log"),
        (f"witness X1 {LOG}\n", "of type 0x01, expected that of a witness"),
        (f"witness X1 {LOG_P256}\n", "of type 0x02, expected that of a witness"),
        (f"witness {VKEYS[0]}\n", "expected `witness NAME VKEY"),
        (f"witness none {VKEYS[0]}\n", "the name 'none' is taken"),
        (f"{WITNESS}witness X1 {VKEYS[1]}\n", "line 2 of the witness policy: the name 'X1' is taken"),
        (f"{WITNESS}group X1 any X1\n", "the name 'X1' is taken"),
        (f"{WITNESS}group none any X1\n", "the name 'none' is taken"),
        (f"{WITNESS}witness X2 {VKEYS[0]}\n", "it has the key of another witness"),
        (f"{WITNESS}group G any\n", "expected `group NAME"),
        (f"{WITNESS}group G any none\n", "'none' is no witness or group"),
        (f"{WITNESS}group G any G\n", "'G' is no witness or group"),
        (f"{WITNESS}group G any X1 X1\n", "'X1' is in a group already"),
        (f"{WITNESS}group G any X1\ngroup H any X1\n", "'X1' is in a group already"),
        (f"{WITNESS}group G 0 X1\n", "the threshold is 0, expected any, all, or 1 to 1"),
        (f"{WITNESS}group G 2 X1\n", "the threshold is 2"),
        (f"{WITNESS}group G 01 X1\n", "expected a decimal number"),
        (f"{WITNESS}group G +1 X1\n", "expected a decimal number"),
        (f"{WITNESS}group G most X1\n", "expected a decimal number"),
    ],
)
def test_what_is_against_the_format_is_refused(text, said):
    with pytest.raises(Malformed) as caught:
        parsed(text)
    assert said in caught.value.message


def test_one_key_under_two_names_is_one_party():
    for one, other, what in (
        (f"log {LOG}\n", f"log {encode_log_verifier(note_key('b', LOG_KEY.public_key()))}\n", "log"),
        (WITNESS, f"witness X2 {encode_witness_verifier(cosigner_key('b', KEYS[0].public_key()))}\n", "witness"),
    ):
        assert parsed(f"{one}quorum none\n")
        with pytest.raises(Malformed, match=f"it has the key of another {what}"):
            parsed(f"{one}{other}quorum none\n")


def test_a_name_of_a_key_is_utf_8():
    with pytest.raises(Malformed, match="is not UTF-8"):
        parse_tlog_policy(b"log \xff+00000000+AA==\nquorum none\n")


def rows_of(kind: str, count: int) -> str:
    """So many lines of each kind; with "log" or "witness" of that kind alone."""
    found = []
    for number in range(1, count + 1):
        key = ed25519_key(number).public_key()
        if kind in ("log", "all"):
            found += [f"log {encode_log_verifier(note_key('l', key))}"]
        if kind != "log":
            found += [f"witness w{number} {encode_witness_verifier(cosigner_key('w', key))}"]
        if kind == "all":
            found += [f"group g{number} all w{number}" + (f" g{number - 1}" if number > 1 else "")]
    return "\n".join([*found, "quorum none", ""])


def test_more_than_the_specification_asks_for_fits_and_there_is_an_end():
    most = limits.TLOG_POLICY_ROWS
    policy = replace(parsed(rows_of("all", most)), quorum=f"g{most}")
    everybody = {one.name for one in policy.witnesses}
    assert makes_quorum(policy, everybody)
    assert not makes_quorum(policy, everybody - {"w1"})
    assert len(describe_quorum(policy)) <= 500
    for kind in ("log", "witness"):
        assert parsed(rows_of(kind, most))
        with pytest.raises(Malformed, match=f"it is one {kind} too many, the limit is 256"):
            parsed(rows_of(kind, most + 1))
    nested = "".join(f"group h{number} any {f'h{number - 1}' if number else 'X1'}\n" for number in range(most + 1))
    with pytest.raises(Malformed, match="it is one group too many, the limit is 256"):
        parsed(f"{WITNESS}{nested}quorum none\n")
    comment = "#" * (limits.TLOG_POLICY - len("\nquorum none\n"))
    assert parsed(f"{comment}\nquorum none\n")
    with pytest.raises(Malformed, match="bytes long"):
        parsed(f"#{comment}\nquorum none\n")


def test_line_ends_of_other_systems_are_named():
    for text, said in (("quorum none\r\n", "a newline alone"), ("quorum\x0bnone\n", "")):
        with pytest.raises(Malformed) as caught:
            parsed(text)
        assert said in caught.value.hint
        assert bool(caught.value.hint) == bool(said)


def test_what_would_be_read_otherwise_is_not_written():
    policy = parsed(EXAMPLE)
    for wrong in (
        replace(policy, groups=policy.groups[::-1]),
        replace(policy, witnesses=(replace(policy.witnesses[0], url="a b"), *policy.witnesses[1:])),
        replace(policy, quorum="nobody"),
        replace(policy, witnesses=(*policy.witnesses[:-1], replace(policy.witnesses[-1], url=" "))),
    ):
        with pytest.raises(Malformed):
            encode_tlog_policy(wrong)


# --- the quorum ------------------------------------------------------------------------------------------
@st.composite
def policies(draw: st.DrawFn) -> TlogPolicy:
    """Witnesses, and groups of what is in no group yet."""
    witnesses = tuple(
        PolicyWitness(f"w{n}", cosigner_key(f"w{n}.example", key.public_key()))
        for n, key in enumerate(KEYS[: draw(st.integers(1, len(KEYS)))])
    )
    free, groups = [one.name for one in witnesses], []
    for number in range(draw(st.integers(0, 5))):
        if not free:
            break
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        groups.append(PolicyGroup(f"g{number}", draw(st.integers(1, len(members))), tuple(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
    quorum = draw(st.sampled_from([NONE, *(one.name for one in witnesses), *(group.name for group in groups)]))
    logs = (PolicyLog(note_key(ORIGIN, LOG_KEY.public_key()), "https://log.example"),)
    return TlogPolicy(draw(st.sampled_from([(), logs])), witnesses, tuple(groups), quorum)


def witnessed(policy: TlogPolicy, name: str, cosigned: set[str]) -> bool:
    """The sentence of the specification, downwards from the quorum."""
    for group in policy.groups:
        if group.name == name:
            return [witnessed(policy, member, cosigned) for member in group.members].count(True) >= group.threshold
    return name == NONE or name in cosigned


@given(policies(), st.sets(st.sampled_from([f"w{n}" for n in range(len(KEYS))])), st.randoms(use_true_random=False))
def test_a_quorum_is_what_the_sentence_says_and_only_grows(policy, cosigned, random):
    known = {one.name for one in policy.witnesses} & cosigned
    assert makes_quorum(policy, cosigned) == witnessed(policy, policy.quorum, known)
    if makes_quorum(policy, cosigned):
        assert makes_quorum(policy, cosigned | {random.choice(policy.witnesses).name})


@given(policies())
def test_what_is_written_is_read_again(policy):
    assert parse_tlog_policy(encode_tlog_policy(policy)) == policy


@given(policies(), st.sets(st.integers(0, len(KEYS) - 1)), st.booleans())
def test_a_checkpoint_holds_by_the_witnesses_that_have_signed_it(policy, signers, twice):
    lines = [cosign(text_of(5), f"w{n}.example", KEYS[n], TIME + n).line for n in signers] * (1 + twice)
    found = {f"w{n}" for n in signers} & {one.name for one in policy.witnesses}
    if witnessed(policy, policy.quorum, found):
        assert {one.name for one, _ in verify_witnessed(signed(5, *lines), policy)} == found
    else:
        with pytest.raises(NotCosigned):
            verify_witnessed(signed(5, *lines), policy)


# --- a checkpoint ----------------------------------------------------------------------------------------
def text_of(size: int, origin: str = ORIGIN) -> str:
    return encode_checkpoint(Checkpoint(origin, size, bytes(32)))


def signed(size: int, *lines: NoteSignature, origin: str = ORIGIN, key: ed25519.Ed25519PrivateKey = LOG_KEY) -> str:
    own = sign_note(text_of(size, origin), origin, key).signatures
    return encode_note(Note(text_of(size, origin), (*own, *lines)))


def line_of(number: int, size: int = 5) -> NoteSignature:
    """The cosignature of X1, X2 ... over the checkpoint of this size."""
    return cosign(text_of(size), f"w{number}.example", KEYS[number - 1], TIME).line


def test_who_has_cosigned_and_when():
    policy = parsed(EXAMPLE)
    found = verify_witnessed(signed(5, line_of(6), line_of(3), line_of(1)), policy)
    assert [(one.name, cosignature.time_s) for one, cosignature in found] == [("X1", TIME), ("X3", TIME), ("Y3", TIME)]


def test_too_few_are_named_with_what_is_demanded():
    with pytest.raises(NotCosigned) as caught:
        verify_witnessed(signed(5, line_of(1), line_of(4)), parsed(EXAMPLE))
    assert "cosigned by X1, Y1 of" in caught.value.message
    assert "expected all of (2 of (X1, X2, X3), any of (Y1, Y2, Y3))" in caught.value.message


def test_one_line_twice_is_one_witness():
    policy = parsed(f"{WITNESS}witness X2 {VKEYS[1]}\ngroup G 2 X1 X2\nquorum G\n")
    assert verify_witnessed(signed(5, line_of(1), line_of(2)), policy)
    with pytest.raises(NotCosigned):
        verify_witnessed(signed(5, line_of(1), line_of(1)), policy)


def test_lines_of_others_say_nothing():
    """Also a bad one, and one by the key of a witness under another name: its id is another."""
    policy = parsed(f"{WITNESS}quorum X1\n")
    stranger = NoteSignature("stranger.example", b"\1\2\3\4", bytes(72))
    renamed = cosign(text_of(5), "other.example", KEYS[0], TIME).line
    assert len(verify_witnessed(signed(5, stranger, renamed, line_of(1)), policy)) == 1
    with pytest.raises(NotCosigned):
        verify_witnessed(signed(5, stranger, renamed), policy)


@pytest.mark.parametrize("quorum", ["X1", "X2", "G", "none"])
def test_a_known_line_that_is_no_cosignature_is_a_refusal_even_where_others_would_do(quorum):
    policy = parsed(f"{WITNESS}witness X2 {VKEYS[1]}\ngroup G any X1 X2\nquorum {quorum}\n")
    good = line_of(2)
    for bad in (
        line_of(1, size=6),  # of another checkpoint
        replace(line_of(1), signature=line_of(1).signature[:-1] + b"\0"),
        replace(line_of(1), signature=line_of(1).signature[:-1]),
        replace(line_of(1), signature=(TIME + 1).to_bytes(8, "big") + line_of(1).signature[8:]),
        NoteSignature("w1.example", line_of(1).key_hash, keys.sign(KEYS[0], text_of(5).encode())),
    ):
        with pytest.raises(Refused, match=r"w1\.example") as caught:
            verify_witnessed(signed(5, good, bad), policy)
        assert not isinstance(caught.value, NotCosigned)


def test_a_time_beyond_63_bits_is_refused_and_one_in_the_future_is_not():
    policy = parsed(f"{WITNESS}quorum X1\n")
    for time_s, allowed in ((2**63 - 1, True), (0, True), (2**63, False)):
        message = f"cosignature/v1\ntime {time_s}\n{text_of(5)}".encode()
        data = time_s.to_bytes(8, "big") + keys.sign(KEYS[0], message)
        envelope = signed(5, NoteSignature("w1.example", line_of(1).key_hash, data))
        if allowed:
            assert verify_witnessed(envelope, policy)[0][1].time_s == time_s
        else:
            with pytest.raises(Refused, match=r"beyond 2\^63"):
                verify_witnessed(envelope, policy)


# --- the log ---------------------------------------------------------------------------------------------
def test_the_log_is_one_of_the_policy_where_it_names_any():
    other = encode_log_verifier(note_key(ORIGIN, KEYS[7].public_key()))
    for logs, holds in (
        ("", True),
        (f"log {LOG}\n", True),
        (f"log {LOG_P256}\nlog {other}\nlog {LOG}\n", True),
        (f"log {LOG_P256}\n", False),
        (f"log {other}\n", False),  # the origin alone is not enough
    ):
        policy = parsed(f"{logs}{WITNESS}quorum X1\n")
        if holds:
            assert verify_witnessed(signed(5, line_of(1)), policy)
        else:
            with pytest.raises(Refused, match="not signed by a log of the witness policy"):
                verify_witnessed(signed(5, line_of(1)), policy)


def test_a_log_of_the_policy_signs_under_its_own_origin_alone():
    """It has signed a text that says that it is of another log; and a line with its id is not its signature."""
    policy = parsed(f"log {LOG}\nquorum none\n")
    text = text_of(5, "other.example")
    foreign = encode_note(Note(text, sign_note(text, ORIGIN, LOG_KEY).signatures))
    forged = encode_note(Note(text_of(5), sign_note(text_of(6), ORIGIN, LOG_KEY).signatures))
    for envelope, said in ((foreign, "not signed by a log of"), (forged, "the note signature of log")):
        with pytest.raises(Refused, match=said):
            verify_witnessed(envelope, policy)
    assert verify_witnessed(signed(5), policy) == ()
    assert describe_quorum(policy) == "no cosignature"
