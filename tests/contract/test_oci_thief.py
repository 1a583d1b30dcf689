# SPDX-License-Identifier: Apache-2.0
"""A hostile registry that wants the user's credentials, for itself or for a thief elsewhere. (reliability: G03, G08, G11)

The thief is another port of this machine: another origin, where nothing may arrive that belongs to the registry.
"""

from __future__ import annotations

import json
import ssl

import pytest

from client.oci.http import HttpRegistry
from client.oci.manifest import IMAGE_MANIFEST, Descriptor, describe
from client.oci.options import Credential, RegistryOptions
from client.oci.reference import parse_reference
from client.transport import ServiceRefused
from sigcore.errors import Malformed, Refused, SigError
from tests.oci_scripted import raw, scripted, sent_to
from tests.registries import certified
from tests.registry_images import LAYER, image_parts

PASSWORD = "hunter2hunter2"
TOKEN = "tokentokentoken"
ALICE = Credential("alice", PASSWORD)
MANIFEST, CONFIG, CONTENT = image_parts()
BLOB = describe(LAYER, CONTENT)
METADATA = "http://169.254.169.254/latest/meta-data"


@pytest.fixture
async def registry_server():
    async with scripted() as server:
        server.challenge = 'Basic realm="tests"'
        yield server


@pytest.fixture
async def thief():
    async with scripted() as server:
        yield server
        for seen in server.seen:
            carried = json.dumps([seen.path, seen.headers, seen.body.decode("latin-1")])
            assert not {"authorization", "cookie", "proxy-authorization"} & seen.headers.keys()
            assert PASSWORD not in carried
            assert TOKEN not in carried


def client(**options) -> HttpRegistry:
    settings = {"credential": ALICE, "attempts": 1, "backoff_s": 0.01, "timeout_s": 5.0, **options}
    return HttpRegistry(RegistryOptions(**settings), environment={"HOME": "/nonexistent"})


async def refused(call, kinds=Refused) -> SigError:
    """The error of ``call``; it shows no secret."""
    with pytest.raises(kinds) as error:
        await call
    assert PASSWORD not in f"{error.value} {error.value!r} {error.value.args}"
    assert TOKEN not in f"{error.value} {error.value!r} {error.value.args}"
    return error.value


def bearer(realm: str, **parameters: str) -> str:
    return ", ".join([f'Bearer realm="{realm}"', *(f'{name}="{value}"' for name, value in parameters.items())])


# --- redirects ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_g03_a_redirect_to_another_port_is_followed_without_credentials(registry_server, thief, status):
    where = f"/v2/team/app/blobs/{BLOB.digest}"
    registry_server.answers[f"GET {where}"] = sent_to(f"{thief.url}/bucket/x?signature=abc", status)
    thief.answers["GET /bucket/x"] = raw(CONTENT)
    async with client() as registry:
        assert await registry.blob(registry_server.image, BLOB) == CONTENT
    assert registry_server.seen[-1].authorization.startswith("Basic ")
    assert thief.asked == ["GET /bucket/x"]


async def test_g03_a_manifest_behind_a_redirect_comes_without_credentials(registry_server, thief):
    registry_server.answers["GET /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m")
    thief.answers["GET /m"] = raw(MANIFEST, **{"Content-Type": IMAGE_MANIFEST})
    async with client() as registry:
        assert (await registry.manifest(registry_server.image))[1] == MANIFEST
    assert thief.asked == ["GET /m"]


async def test_g03_a_redirect_target_that_asks_for_the_password_gets_none(registry_server, thief):
    thief.challenge = 'Basic realm="give it to me"'
    registry_server.answers["GET /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m")
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image))
    assert "answered 401" in error.message
    assert thief.asked == ["GET /m"]


async def test_g03_a_redirect_target_with_a_token_service_of_its_own_gets_no_password(registry_server, thief):
    registry_server.challenge = ""
    thief.challenge = bearer(f"{thief.url}/token", service="registry")
    thief.answers["GET /token"] = raw(b'{"token": "theirs"}')
    registry_server.answers["GET /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m")
    async with client() as registry:
        await refused(registry.manifest(registry_server.image))
    assert thief.asked == ["GET /m"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (METADATA, "an address inside of this network|plain http to another machine"),
        ("https://169.254.169.254/", "an address inside of this network"),
        ("https://[fe80::1]/", "an address inside of this network"),
        ("https://[::ffff:169.254.169.254]/", "an address inside of this network"),
        ("http://example.com/x", "plain http to another machine"),
        ("https://alice:pw@example.com/x", "no plain http or https URL"),
        ("ftp://example.com/x", "no plain http or https URL"),
        ("file:///etc/passwd", "no plain http or https URL"),
        ("https://2852039166/", "no plain http or https URL"),
        ("https://0xa9fea9fe/", "no plain http or https URL"),
        ("https://example.com:99999/", "is no URL"),
        ("https://exa mple.com/", "no plain http or https URL"),
        ("https:///x", "no plain http or https URL"),
    ],
)
async def test_g03_a_redirect_to_where_nobody_should_be_sent_is_not_followed(registry_server, target, reason):
    registry_server.answers["GET /v2/team/app/manifests/1"] = sent_to(target)
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image), (Refused, Malformed))
    assert any(part in error.message for part in reason.split("|")), error.message
    assert "alice:pw" not in error.message


async def test_g03_redirects_without_end_end(registry_server):
    where = "/v2/team/app/manifests/1"
    registry_server.answers[f"GET {where}"] = sent_to(where)
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image))
    assert "more than 5 redirects" in error.message
    assert len(registry_server.asked) == 7


async def test_g03_from_https_nothing_leads_to_http(tmp_path, thief):
    files = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    async with scripted(context) as server, client(ca_file=str(files.published)) as registry:
        server.answers["GET /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m")
        error = await refused(registry.manifest(server.image))
        assert "from https to plain http" in error.message
        server.challenge = bearer(f"{thief.url}/token", service="registry")
        error = await refused(registry.manifest(server.image))
        assert "from https to plain http" in error.message
    assert thief.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_g03_what_is_stored_is_not_sent_on_to_another_host(registry_server, thief, status):
    registry_server.answers["PUT /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m", status)
    registry_server.answers["DELETE /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m", status)
    async with client() as registry:
        error = await refused(registry.put_manifest(registry_server.image, IMAGE_MANIFEST, MANIFEST))
        assert "redirects a PUT" in error.message
        await refused(registry.delete(registry_server.image))
    assert thief.asked == []


async def test_g03_no_cookie_is_kept(registry_server):
    registry_server.manifest(MANIFEST, at="1", **{"Set-Cookie": "session=1; Path=/"})
    async with client() as registry:
        for _ in range(2):
            await registry.manifest(registry_server.image)
    assert not [seen for seen in registry_server.seen if "cookie" in seen.headers]


async def test_g03_urls_in_a_descriptor_are_not_asked(registry_server, thief):
    foreign = json.loads(MANIFEST)
    foreign["layers"][0]["urls"] = [f"{thief.url}/layer"]
    foreign["layers"][0]["data"] = "AAAA"
    data = json.dumps(foreign).encode()
    registry_server.manifest(data, at="1")
    async with client() as registry:
        await registry.manifest(registry_server.image)
        await refused(registry.blob(registry_server.image, BLOB), SigError)
    assert thief.asked == []


# --- uploads -----------------------------------------------------------------------------------------
async def test_g03_an_upload_elsewhere_carries_the_content_and_no_credentials(registry_server, thief):
    began = sent_to(f"{thief.url}/upload?state=a%2Fb%3D", 202)
    registry_server.answers["POST /v2/team/app/blobs/uploads/"] = began
    thief.answers["PUT /upload"] = raw(status=201)
    async with client() as registry:
        await registry.put_blob(registry_server.image, CONTENT)
    assert thief.asked == ["PUT /upload"]
    assert thief.seen[0].body == CONTENT


async def test_the_place_of_an_upload_is_used_as_it_was_spelled(registry_server):
    queries = []

    def take(request):
        queries.append(request.raw_path)
        return raw(status=201)

    registry_server.answers["POST /v2/team/app/blobs/uploads/"] = sent_to("/up?state=a%2Fb%3D%3d&x=%e4", 202)
    registry_server.answers["PUT /up"] = take
    async with client() as registry:
        await registry.put_blob(registry_server.image, CONTENT)
    assert queries == [f"/up?state=a%2Fb%3D%3d&x=%e4&digest={BLOB.digest.replace(':', '%3A')}"]


@pytest.mark.parametrize("place", [METADATA, "https://169.254.169.254/x", "file:///tmp/x", "http://example.com/x", ""])
async def test_g03_an_upload_to_where_nobody_should_be_sent_is_not_made(registry_server, place):
    registry_server.answers["POST /v2/team/app/blobs/uploads/"] = raw(
        status=202, **({"Location": place} if place else {})
    )
    async with client() as registry:
        await refused(registry.put_blob(registry_server.image, CONTENT), (Refused, Malformed))
    assert not [seen for seen in registry_server.seen if CONTENT in seen.body]


# --- token services ----------------------------------------------------------------------------------
async def test_g03_a_realm_at_another_port_gets_no_password(registry_server, thief):
    registry_server.challenge = bearer(f"{thief.url}/token", service="registry")
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image))
    assert "a host that does not belong to it" in error.message
    assert thief.asked == []


@pytest.mark.parametrize(
    "realm", [METADATA, "https://169.254.169.254/", "file:///x", "//", "https://u:p@example.com/", "x y"]
)
async def test_g03_a_realm_that_is_no_token_service_is_refused(registry_server, realm):
    registry_server.challenge = bearer(realm)
    for credential in (ALICE, None):
        async with client(credential=credential) as registry:
            await refused(registry.manifest(registry_server.image), (Refused, Malformed))


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="https://a.example", realm="https://b.example"',
        'Bearer realm="unfinished',
        "Bearer realm=",
        "Bearer",
        "Negotiate abcd==",
        "Digest realm=x, Unknown y=z",
        "=",
        "",
    ],
)
async def test_g03_a_challenge_that_cannot_be_met_is_refused(registry_server, challenge):
    registry_server.challenge = challenge or " "
    async with client() as registry:
        await refused(registry.manifest(registry_server.image), (Refused, Malformed))
    assert not [seen for seen in registry_server.seen if seen.authorization]


async def test_g03_a_token_service_that_redirects_is_not_followed(registry_server, thief):
    registry_server.challenge = bearer(f"{registry_server.url}/token")
    registry_server.answers["GET /token"] = sent_to(f"{thief.url}/token")
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image), ServiceRefused)
    assert "answered 307" in error.message
    assert thief.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 7}',
        b'{"token": ""}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "%s"}' % (b"a" * 70_000),
        b'{"token": "tokentokentoken", "token": "b"}',
        b'{"token": "tokentokentoken", "expires_in": "soon"}',
    ],
)
async def test_a_token_that_is_none_is_refused_and_not_shown(registry_server, answer):
    registry_server.challenge = bearer(f"{registry_server.url}/token")
    registry_server.answers["GET /token"] = raw(answer)
    async with client() as registry:
        await refused(registry.manifest(registry_server.image), Malformed)


async def test_a_token_goes_to_its_registry_alone_and_for_what_is_done(registry_server, thief):
    registry_server.challenge = bearer(f"{registry_server.url}/token", service="s", scope="repository:team/app:pull")
    registry_server.answers["GET /token"] = raw(json.dumps({"access_token": TOKEN}).encode())
    registry_server.answers["GET /v2/team/app/manifests/1"] = sent_to(f"{thief.url}/m")
    thief.answers["GET /m"] = raw(MANIFEST, **{"Content-Type": IMAGE_MANIFEST})
    async with client() as registry:
        await registry.manifest(registry_server.image)
    assert registry_server.seen[-1].authorization == f"Bearer {TOKEN}"
    assert [seen.authorization[:5] for seen in registry_server.seen if seen.path == "/token"] == ["Basic"]


async def test_a_token_service_elsewhere_is_asked_for_what_we_do_and_not_for_what_the_registry_wants(registry_server):
    scopes = []

    def token(request):
        scopes.extend(request.query.getall("scope"))
        return raw(b'{"token": "token"}')

    async with scripted() as service:
        service.answers["GET /token"] = token
        realm = service.url.replace("127.0.0.1", "localhost")
        greedy = "registry:catalog:* repository:other/secret:pull,push,delete"
        registry_server.challenge = bearer(f"{realm}/token", service="s", scope=greedy)
        registry_server.manifest(MANIFEST, at="1")
        async with client(token_hosts=("localhost",)) as registry:
            await registry.manifest(registry_server.image)
    assert scopes == ["repository:team/app:pull"]


async def test_a_token_for_nobody_is_got_without_credentials_and_may_not_be_enough(registry_server, thief):
    registry_server.challenge = bearer(f"{thief.url}/token", service="s")
    thief.answers["GET /token"] = raw(b'{"token": "anonymous"}')
    registry_server.manifest(MANIFEST, at="1")
    registry_server.answers["GET /v2/team/app/manifests/2"] = raw(
        status=401, WWW_Authenticate=registry_server.challenge
    )
    async with client(credential=None) as registry:
        await registry.manifest(registry_server.image)
        error = await refused(registry.manifest(registry_server.image.at_tag("2")), ServiceRefused)
    assert error.hint.startswith("it wants credentials and none are here: docker login 127.0.0.1:")


async def test_401_without_end_ends(registry_server):
    registry_server.answers["GET /v2/team/app/manifests/1"] = raw(status=401, WWW_Authenticate='Basic realm="again"')
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image), ServiceRefused)
    assert error.hint == "the credentials were not accepted"
    assert len(registry_server.asked) == 2


async def test_what_a_registry_repeats_of_the_credentials_is_not_shown(registry_server):
    def parrot(request):
        said = f"{PASSWORD} {request.headers['Authorization']}"
        errors = [{"code": said.upper(), "message": said}]
        return raw(json.dumps({"errors": errors}).encode(), 403, **{"Content-Type": said})

    registry_server.answers["GET /v2/team/app/manifests/1"] = parrot
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image), ServiceRefused)
    assert "YWxpY2U6" not in str(error)
    assert "(secret)" in error.message


async def test_what_a_location_repeats_of_the_credentials_is_not_shown(registry_server):
    registry_server.answers["GET /v2/team/app/manifests/1"] = sent_to(f"http://example.com/{PASSWORD}")
    async with client() as registry:
        error = await refused(registry.manifest(registry_server.image))
    assert "(secret)" in error.message


# --- lists -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["referrers", "tags"])
async def test_g03_the_next_page_elsewhere_is_not_asked(registry_server, thief, what):
    image = registry_server.image.at_digest(describe(LAYER, b"x").digest)
    where = f"referrers/{image.digest}" if what == "referrers" else "tags/list"
    index = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"tags":[]}'
    headers = {
        "Content-Type": "application/vnd.oci.image.index.v1+json",
        "Link": f'<{thief.url}/v2/team/app/{where}>; rel="next"',
    }
    registry_server.answers[f"GET /v2/team/app/{where}"] = raw(index, **headers)
    async with client() as registry:
        error = await refused(registry.referrers(image) if what == "referrers" else registry.tags(image))
    assert "is not of the same list" in error.message
    assert thief.asked == []


# --- plain http --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "registry_name", ["registry.example", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example:80"]
)
async def test_g11_plain_http_is_not_tried_with_other_machines(registry_name):
    async with client() as registry:
        assert await registry.session.base(registry_name) == f"https://{registry_name}"


async def test_g11_plain_http_with_this_machine_is_found_out_without_credentials(registry_server):
    registry_server.manifest(MANIFEST, at="1")
    async with client() as registry:
        await registry.manifest(registry_server.image)
    assert [seen.authorization[:5] for seen in registry_server.seen] == ["", "Basic"]


@pytest.mark.parametrize(
    "digest", ["sha256:../../x", f"SHA256:{'a' * 64}", f"sha256:{'A' * 64}", "sha256:ab", "md5:" + "0" * 32, ""]
)
async def test_g04_a_hostile_digest_is_refused_before_any_request(registry_server, digest):
    async with client() as registry:
        for call in (
            registry.blob(registry_server.image, Descriptor(LAYER, digest, 1)),
            registry.has_blob(registry_server.image, Descriptor(LAYER, digest, 1)),
            registry.referrers(registry_server.image),
            registry.referrer(registry_server.image, Descriptor(IMAGE_MANIFEST, digest, 1)),
        ):
            await refused(call, Malformed)
    with pytest.raises(Malformed):
        parse_reference(f"{registry_server.address}/team/app@{digest}")
    assert registry_server.seen == []
