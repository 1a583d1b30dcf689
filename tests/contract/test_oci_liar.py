# SPDX-License-Identifier: Apache-2.0
"""A hostile registry that lies about content: other bytes, no end, confused types, false lists. (reliability: G01 to G10)"""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from client.oci.digests import digest_of
from client.oci.http import HttpRegistry
from client.oci.manifest import (
    DOCKER_MANIFEST,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    describe,
    descriptor_json,
)
from client.oci.options import RegistryOptions
from client.oci.reference import parse_reference, referrers_tag
from client.oci.referrers import describe_referrer
from client.transport import ServiceRefused
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from tests.oci_scripted import raw, scripted
from tests.registry_images import LAYER, NOTE, image_parts, note

MANIFEST, CONFIG, CONTENT = image_parts()
OTHER, *_ = image_parts(b"other")
BLOB = describe(LAYER, CONTENT)
SUBJECT = describe(IMAGE_MANIFEST, MANIFEST)
MEBIBYTE = bytes(1024 * 1024)
TLS_HANDSHAKE = b"\x16"


@pytest.fixture
async def server():
    async with scripted() as running:
        yield running


@pytest.fixture
async def registry():
    async with client() as running:
        yield running


def client(**options) -> HttpRegistry:
    settings = {"attempts": 1, "backoff_s": 0.01, "timeout_s": 5.0, **options}
    return HttpRegistry(RegistryOptions(**settings), environment={"HOME": "/nonexistent"})


def changed(data: bytes = MANIFEST, **members) -> bytes:
    return json.dumps({**json.loads(data), **members}).encode()


def endless(sent: list[int], status: int = 200, **headers: str):
    """An answer that goes on for as long as it is read; ``sent`` grows by what was taken."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        await response.prepare(request)
        try:
            for _ in range(512):
                await response.write(MEBIBYTE)
                sent.append(len(MEBIBYTE))
        except ConnectionError:
            pass
        return response

    return answer


# --- bytes -------------------------------------------------------------------------------------------
async def test_g01_a_manifest_with_other_bytes_than_its_digest_is_refused(server, registry):
    server.manifest(OTHER, at=digest_of(MANIFEST))
    with pytest.raises(Refused, match=f"has the digest {digest_of(OTHER)}, expected {digest_of(MANIFEST)}"):
        await registry.manifest(server.image.at_digest(digest_of(MANIFEST)))


async def test_g01_the_digest_in_a_header_is_not_believed(server, registry):
    server.manifest(OTHER, at="1", **{"Docker-Content-Digest": digest_of(MANIFEST)})
    with pytest.raises(Refused, match="has the digest"):
        await registry.resolve(server.image)
    server.manifest(OTHER, at="1", **{"Docker-Content-Digest": "sha256:../../etc"})
    with pytest.raises(Malformed, match="Docker-Content-Digest"):
        await registry.resolve(server.image)


async def test_g02_a_tag_that_moves_between_reads_gives_each_time_the_digest_of_what_came(server, registry):
    server.manifest(MANIFEST, at="1")
    server.manifest(MANIFEST)
    server.manifest(OTHER)
    first = await registry.resolve(server.image)
    server.manifest(OTHER, at="1")
    second, data = await registry.manifest(server.image)
    assert (first.digest, second.digest, data) == (digest_of(MANIFEST), digest_of(OTHER), OTHER)
    assert (await registry.manifest(server.image.at_digest(first.digest)))[1] == MANIFEST


async def test_g02_what_was_right_once_is_checked_again(server, registry):
    image = server.image.at_digest(digest_of(MANIFEST))
    server.manifest(MANIFEST)
    server.blob(CONTENT)
    await registry.manifest(image)
    await registry.blob(image, BLOB)
    server.manifest(OTHER, at=image.digest)
    server.blob(bytes(reversed(CONTENT)), at=BLOB.digest)
    for call in (registry.manifest(image), registry.blob(image, BLOB)):
        with pytest.raises(Refused, match="has the digest"):
            await call


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", bytes(len(CONTENT))])
async def test_g01_a_blob_that_is_not_the_descriptors_is_refused(server, registry, content, tmp_path):
    server.blob(content, at=BLOB.digest)
    with pytest.raises((Refused, Malformed)):
        await registry.blob(server.image, BLOB)
    with pytest.raises((Refused, Malformed)):
        await registry.save_blob(server.image, BLOB, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


async def test_g01_a_manifest_that_the_registry_says_to_have_stored_as_another_is_refused(server, registry):
    server.answers["PUT /v2/team/app/manifests/1"] = raw(status=201, Docker_Content_Digest=digest_of(OTHER))
    with pytest.raises(Refused, match="has the digest"):
        await registry.put_manifest(server.image, IMAGE_MANIFEST, MANIFEST)


# --- sizes -------------------------------------------------------------------------------------------
async def test_g05_a_manifest_without_end_is_not_read_to_its_end(server, registry):
    sent: list[int] = []
    server.answers["GET /v2/team/app/manifests/1"] = endless(sent, Content_Type=IMAGE_MANIFEST)
    with pytest.raises(Malformed, match=f"is longer than {limits.OCI_MANIFEST} bytes"):
        await registry.manifest(server.image)
    assert sum(sent) < 64 * len(MEBIBYTE)


async def test_g05_a_manifest_that_announces_too_much_is_not_read(server, registry):
    sent: list[int] = []
    huge = endless(sent, Content_Type=IMAGE_MANIFEST, Content_Length=str(512 * len(MEBIBYTE)))
    server.answers["GET /v2/team/app/manifests/1"] = huge
    with pytest.raises(Malformed, match=f"has {512 * len(MEBIBYTE)} bytes, the limit is {limits.OCI_MANIFEST}"):
        await registry.manifest(server.image)
    assert sum(sent) < 64 * len(MEBIBYTE)


async def test_g05_a_blob_that_streams_on_is_cut_at_its_size(server, registry, tmp_path):
    sent: list[int] = []
    server.answers[f"GET /v2/team/app/blobs/{BLOB.digest}"] = endless(sent)
    with pytest.raises(Malformed, match=f"is longer than {BLOB.size} bytes"):
        await registry.blob(server.image, BLOB)
    with pytest.raises(Malformed, match=f"is longer than {BLOB.size} bytes"):
        await registry.save_blob(server.image, BLOB, tmp_path / "blob")
    assert sum(sent) < 128 * len(MEBIBYTE)


async def test_g05_an_attachment_of_129_mib_is_not_asked_for(server, registry):
    with pytest.raises(Malformed, match="the limit is 134217728"):
        await registry.blob(server.image, Descriptor(LAYER, BLOB.digest, 129 * 1024 * 1024))
    with pytest.raises(Malformed, match="has -1 bytes"):
        await registry.blob(server.image, Descriptor(LAYER, BLOB.digest, -1))
    assert server.seen == []


async def test_g05_an_error_without_end_is_read_for_its_first_words(server, registry):
    sent: list[int] = []

    server.answers["GET /v2/team/app/manifests/1"] = endless(sent, 403)
    with pytest.raises(ServiceRefused, match="answered 403"):
        await registry.manifest(server.image)
    assert sum(sent) < 64 * len(MEBIBYTE)


async def test_g05_what_comes_compressed_is_not_unpacked(server, registry):
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    packed = {"Content-Type": IMAGE_MANIFEST, "Content-Encoding": "gzip"}
    server.answers["GET /v2/team/app/manifests/1"] = raw(bomb, **packed)
    with pytest.raises(Malformed, match="is not UTF-8"):
        await registry.manifest(server.image)
    # A layer is compressed in itself, and some registries say so in the header: what counts are the bytes.
    layer = gzip.compress(CONTENT)
    server.answers[f"GET /v2/team/app/blobs/{digest_of(layer)}"] = raw(layer, **{"Content-Encoding": "gzip"})
    assert await registry.blob(server.image, describe(LAYER, layer)) == layer


@pytest.mark.parametrize("length", [len(CONTENT) + 5, len(CONTENT) - 3])
async def test_g05_a_wrong_content_length_ends_in_an_error(registry, length):
    async def answer(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, CONTENT))

    async with tcp(answer) as image:
        with pytest.raises((Unavailable, Refused, Malformed)):
            await registry.blob(image, BLOB)


async def test_g05_headers_without_end_end_in_an_error(registry):
    async def answer(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            writer.write(b"X-%d: %b\r\n" % (number, b"a" * 1000))
            await writer.drain()

    async with tcp(answer) as image:
        with pytest.raises(Unavailable):
            await registry.blob(image, BLOB)


async def test_g05_an_answer_in_drops_is_given_up():
    async def answer(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with tcp(answer) as image, client(timeout_s=0.5) as registry:
        with pytest.raises(Unavailable, match="did not answer within"):
            await registry.blob(image, Descriptor(LAYER, BLOB.digest, 1000))


@asynccontextmanager
async def tcp(answer):
    """A server that speaks bytes, and the image that is asked of it. It hangs up on TLS."""
    handled = set()

    async def plain(reader, writer):
        handled.add(asyncio.current_task())
        try:
            first = await reader.read(1)
            if first != TLS_HANDSHAKE:
                await reader.readuntil(b"\r\n\r\n")
                await answer(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        yield parse_reference(f"127.0.0.1:{server.sockets[0].getsockname()[1]}/team/app:1")
        await asyncio.gather(*handled)


# --- types -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "media_type", "reason"),
    [
        (MANIFEST, IMAGE_INDEX, "calls itself"),
        (MANIFEST, DOCKER_MANIFEST, "calls itself"),
        (MANIFEST, "text/html", "calls itself"),
        (changed(manifests=[]), IMAGE_MANIFEST, "has manifests, which belongs to another kind"),
        (changed(mediaType=IMAGE_INDEX, manifests=[]), IMAGE_INDEX, "has layers, which belongs to another kind"),
        (changed(mediaType=""), IMAGE_INDEX, "has layers, which belongs to another kind|manifests is missing"),
        (changed(fsLayers=[]), IMAGE_MANIFEST, "has fsLayers"),
        (changed(schemaVersion=1), IMAGE_MANIFEST, "schemaVersion 1"),
        (changed(schemaVersion="2"), IMAGE_MANIFEST, "expected an integer"),
        (
            changed(mediaType=""),
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "expected an image manifest",
        ),
        (MANIFEST[:-1] + b',"layers":[]}', IMAGE_MANIFEST, "duplicate member"),
        (changed(layers=json.loads(MANIFEST)["layers"] * 1001), IMAGE_MANIFEST, "the limit is 1000"),
        (changed(layers={}), IMAGE_MANIFEST, "expected an array"),
        (changed(config=None), IMAGE_MANIFEST, "expected an object"),
        (changed(layers=[{"mediaType": "x", "digest": "sha256:../../x", "size": 1}]), IMAGE_MANIFEST, "digest"),
        (changed(layers=[{"mediaType": "x", "digest": BLOB.digest, "size": -1}]), IMAGE_MANIFEST, "size is -1"),
        (changed(layers=[{"mediaType": "x", "digest": BLOB.digest, "size": 2**70}]), IMAGE_MANIFEST, "beyond 64 bits"),
        (changed(annotations={"a": 1}), IMAGE_MANIFEST, "expected a string"),
        (changed(annotations={f"a{i}": "" for i in range(257)}), IMAGE_MANIFEST, "the limit is 256"),
        (b"[" * 100_000, IMAGE_MANIFEST, "nested too deeply"),
        (b"null", IMAGE_MANIFEST, "expected an object"),
        (b"", IMAGE_MANIFEST, "is not JSON"),
        (b"\xff", IMAGE_MANIFEST, "is not UTF-8"),
        (b"<html>", "text/html", "is not JSON"),
    ],
)
async def test_g07_what_is_not_one_kind_of_document_is_refused(server, registry, data, media_type, reason):
    server.manifest(data, media_type, at="1")
    with pytest.raises(Malformed) as error:
        await registry.manifest(server.image)
    assert any(part in error.value.message for part in reason.split("|")), error.value.message


async def test_parameters_of_the_content_type_are_passed_over(server, registry):
    server.manifest(MANIFEST, f"{IMAGE_MANIFEST}; charset=utf-8", at="1")
    assert (await registry.resolve(server.image)).media_type == IMAGE_MANIFEST


# --- lists -------------------------------------------------------------------------------------------
def listing(*entries: Descriptor | dict) -> bytes:
    members = [one if isinstance(one, dict) else descriptor_json(one) for one in entries]
    return json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": members}).encode()


def list_referrers(server, data: bytes, **headers: str) -> None:
    typed = {"Content-Type": IMAGE_INDEX, **headers}
    server.answers[f"GET /v2/team/app/referrers/{SUBJECT.digest}"] = raw(data, **typed)


@pytest.fixture
def image(server):
    server.manifest(MANIFEST)
    return server.image.at_digest(SUBJECT.digest)


GOOD, _ = note(SUBJECT)
ELSEWHERE, _ = note(describe(IMAGE_MANIFEST, OTHER))
LISTED = describe_referrer(IMAGE_MANIFEST, GOOD)


async def test_g10_a_true_list_of_referrers_is_read(server, registry, image):
    server.manifest(GOOD)
    list_referrers(server, listing(LISTED))
    (found,) = await registry.referrers(image, NOTE)
    assert await registry.referrer(image, found) == GOOD


@pytest.mark.parametrize(
    ("data", "descriptor", "reason"),
    [
        (ELSEWHERE, describe_referrer(IMAGE_MANIFEST, ELSEWHERE), "refers to sha256:"),
        (OTHER, describe(IMAGE_MANIFEST, OTHER), "refers to nothing"),
        (ELSEWHERE, LISTED, "has the digest"),
        (GOOD, Descriptor(IMAGE_INDEX, LISTED.digest, LISTED.size), "is listed as"),
        (GOOD, Descriptor(IMAGE_MANIFEST, LISTED.digest, LISTED.size + 1), "is listed as"),
    ],
    ids=["another subject", "no subject", "other bytes", "another type", "another size"],
)
async def test_g10_a_list_of_referrers_that_lies_is_found_out_when_it_is_read(
    server, registry, image, data, descriptor, reason
):
    server.manifest(data, at=descriptor.digest)
    list_referrers(server, listing(descriptor))
    (found,) = await registry.referrers(image)
    with pytest.raises(Refused, match=reason):
        await registry.referrer(image, found)


@pytest.mark.parametrize(
    "data",
    [
        listing({"mediaType": IMAGE_MANIFEST, "digest": "sha256:../x", "size": 1}),
        listing({"mediaType": IMAGE_MANIFEST, "digest": LISTED.digest}),
        listing(*(Descriptor(IMAGE_MANIFEST, digest_of(b"%d" % i), 1) for i in range(1001))),
        b"{}",
        b"",
        MANIFEST,
    ],
    ids=["digest", "no size", "too many", "nothing", "empty", "manifest"],
)
async def test_g06_a_list_that_is_none_is_refused(server, registry, image, data):
    list_referrers(server, data)
    with pytest.raises(Malformed):
        await registry.referrers(image)


async def test_g06_pages_without_end_end(server, registry, image):
    def page(request):
        number = int(request.query.get("n", 0))
        link = f'</v2/team/app/referrers/{SUBJECT.digest}?n={number + 1}>; rel="next"'
        return raw(listing(), **{"Content-Type": IMAGE_INDEX, "Link": link})

    server.answers[f"GET /v2/team/app/referrers/{SUBJECT.digest}"] = page
    with pytest.raises(Malformed, match="has no end"):
        await registry.referrers(image)
    assert len(server.asked) <= limits.OCI_PAGES + 1


async def test_g06_many_small_pages_are_no_more_than_one_large_one(server, registry, image):
    def page(request):
        number = int(request.query.get("n", 0))
        entries = [Descriptor(IMAGE_MANIFEST, digest_of(b"%d %d" % (number, i)), 1) for i in range(100)]
        link = f'</v2/team/app/referrers/{SUBJECT.digest}?n={number + 1}>; rel="next"'
        return raw(listing(*entries), **{"Content-Type": IMAGE_INDEX, "Link": link})

    server.answers[f"GET /v2/team/app/referrers/{SUBJECT.digest}"] = page
    with pytest.raises(Malformed, match=f"more than {limits.OCI_REFERRERS} referrers"):
        await registry.referrers(image)
    assert len(server.asked) <= 12


@pytest.mark.parametrize("target", ["", "?n=1", "/v2/team/app/tags/list?n=1"])
async def test_g06_a_page_that_leads_to_itself_ends(server, registry, target):
    where = "/v2/team/app/tags/list"
    server.answers[f"GET {where}"] = raw(b'{"tags": ["a"]}', Link=f'<{target}>; rel="next"')
    with pytest.raises(Malformed, match="has no end"):
        await registry.tags(server.image)
    assert len(server.asked) <= 3


@pytest.mark.parametrize(
    "path", ["/v2/team/other/tags/list", "/v2/team/app/referrers/x", "/", "/v2/team/app/tags/list/"]
)
async def test_g03_the_next_page_is_of_the_same_list(server, registry, path):
    server.answers["GET /v2/team/app/tags/list"] = raw(b'{"tags": ["a"]}', Link=f'<{path}?n=1>; rel="next"')
    with pytest.raises(Refused, match="is not of the same list"):
        await registry.tags(server.image)
    assert server.asked == ["GET /v2/team/app/tags/list"]


@pytest.mark.parametrize("tags", [b'["../../x"]', b'["a b"]', b"[7]", b'"a"', b'["%s"]' % (b"a" * 129)])
async def test_g04_tags_that_are_none_are_refused(server, registry, tags):
    server.answers["GET /v2/team/app/tags/list"] = raw(b'{"tags": %b}' % tags)
    with pytest.raises(Malformed):
        await registry.tags(server.image)


async def test_all_pages_of_tags_are_read(server, registry):
    def page(request):
        if request.query.get("last") == "b":
            return raw(b'{"tags": ["c", "b"]}')
        return raw(b'{"tags": ["a", "b"]}', Link='</v2/team/app/tags/list?last=b&n=2>; rel="next"')

    server.answers["GET /v2/team/app/tags/list"] = page
    assert await registry.tags(server.image) == ("a", "b", "c")
    server.answers["GET /v2/team/app/tags/list"] = raw(b'{"name": "team/app", "tags": null}')
    assert await registry.tags(server.image) == ()


# --- the fallback tag ---------------------------------------------------------------------------------
async def test_g10_both_lists_are_read_and_each_referrer_counts_once(server, registry, image):
    hidden, _ = note(SUBJECT, "only at the tag")
    server.manifest(GOOD)
    server.manifest(hidden)
    list_referrers(server, listing(LISTED))
    at_tag = listing(LISTED, describe_referrer(IMAGE_MANIFEST, hidden))
    server.manifest(at_tag, IMAGE_INDEX, at=referrers_tag(SUBJECT.digest))
    assert [d.digest for d in await registry.referrers(image)] == [digest_of(GOOD), digest_of(hidden)]


@pytest.mark.parametrize("status", [400, 404, 405, 406])
async def test_a_registry_without_the_api_is_read_by_the_tag(server, registry, image, status):
    server.answers[f"GET /v2/team/app/referrers/{SUBJECT.digest}"] = raw(status=status)
    server.manifest(listing(LISTED), IMAGE_INDEX, at=referrers_tag(SUBJECT.digest))
    assert [d.digest for d in await registry.referrers(image)] == [digest_of(GOOD)]


async def test_a_page_for_people_where_the_api_would_be_is_no_list(server, registry, image):
    page = raw(b"<html>", Content_Type="text/html")
    server.answers[f"GET /v2/team/app/referrers/{SUBJECT.digest}"] = page
    assert await registry.referrers(image) == ()


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_g10_no_list_is_not_an_empty_list(server, registry, image, status):
    server.answers[f"GET /v2/team/app/referrers/{SUBJECT.digest}"] = raw(
        status=status, WWW_Authenticate="Basic realm=x"
    )
    with pytest.raises((Refused, Unavailable)):
        await registry.referrers(image)


async def test_an_image_at_the_fallback_tag_lists_nobody_and_is_not_overwritten(server, registry, image):
    server.manifest(MANIFEST, at=referrers_tag(SUBJECT.digest))
    server.answers[f"PUT /v2/team/app/manifests/{digest_of(GOOD)}"] = raw(status=201)
    assert await registry.referrers(image) == ()
    with pytest.raises(Refused, match="is an image, expected the list of referrers"):
        await registry.attach(image, IMAGE_MANIFEST, GOOD)
    assert [asked for asked in server.asked if asked.startswith("PUT")] == [
        f"PUT /v2/team/app/manifests/{digest_of(GOOD)}"
    ]


class TagWithRivals:
    """A registry without the API, and other clients that write the list before (``rivals``) and after (``overwrites``) us."""

    def __init__(self, server, *, rivals: int = 0, overwrites: int = 0, conditional: bool = True) -> None:
        self.data = b""
        self.rivals, self.overwrites, self.conditional = rivals, overwrites, conditional
        self.written = 0
        where = f"/v2/team/app/manifests/{referrers_tag(SUBJECT.digest)}"
        server.answers |= {f"GET {where}": self.read, f"PUT {where}": self.write}
        server.answers[f"PUT /v2/team/app/manifests/{digest_of(GOOD)}"] = raw(status=201)

    def read(self, _request):
        if not self.data:
            return raw(status=404)
        return raw(self.data, **{"Content-Type": IMAGE_INDEX, "ETag": f'"{digest_of(self.data)}"'})

    async def write(self, request):
        if self.rivals:
            self.rivals -= 1
            self.data = self.rival()
        match = request.headers.get("If-Match") or f'"{digest_of(b"")}"'
        if self.conditional and match != f'"{digest_of(self.data)}"':
            return raw(status=412)
        self.written += 1
        self.data = await request.read()
        if self.overwrites:
            self.overwrites -= 1
            self.data = self.rival()
        return raw(status=201)

    def rival(self) -> bytes:
        before = json.loads(self.data)["manifests"] if self.data else []
        kept = [entry for entry in before if entry["digest"] != digest_of(GOOD)]
        return listing(*kept, Descriptor(IMAGE_MANIFEST, digest_of(b"%d" % len(kept)), 1))

    @property
    def listed(self) -> list[str]:
        return [entry["digest"] for entry in json.loads(self.data)["manifests"]]


@pytest.mark.parametrize("rivals", [0, 1, 3])
async def test_a_list_that_changed_meanwhile_is_read_again_before_it_is_written(server, registry, image, rivals):
    tag = TagWithRivals(server, rivals=rivals)
    await registry.attach(image, IMAGE_MANIFEST, GOOD)
    assert tag.listed == [*(digest_of(b"%d" % i) for i in range(rivals)), digest_of(GOOD)]
    assert tag.written == 1


async def test_a_list_that_another_client_overwrote_is_written_again(server, registry, image):
    tag = TagWithRivals(server, overwrites=2, conditional=False)
    await registry.attach(image, IMAGE_MANIFEST, GOOD)
    assert tag.listed == [digest_of(b"0"), digest_of(b"1"), digest_of(GOOD)]


async def test_a_list_that_always_changes_is_given_up(server, registry, image):
    TagWithRivals(server, overwrites=1000, conditional=False)
    with pytest.raises(Unavailable, match="changes whenever it is written"):
        await registry.attach(image, IMAGE_MANIFEST, GOOD)


async def test_a_weak_etag_is_no_condition(server, registry, image):
    tag = TagWithRivals(server, conditional=False)
    tag.data = listing(Descriptor(IMAGE_MANIFEST, digest_of(b"x"), 1))
    weak = raw(tag.data, **{"Content-Type": IMAGE_INDEX, "ETag": 'W/"x"'})
    where = f"/v2/team/app/manifests/{referrers_tag(SUBJECT.digest)}"
    server.answers[f"GET {where}"] = lambda request: weak if not tag.written else tag.read(request)
    await registry.attach(image, IMAGE_MANIFEST, GOOD)
    (written,) = [seen for seen in server.seen if (seen.method, seen.path) == ("PUT", where)]
    assert not {"if-match", "if-none-match"} & written.headers.keys()


async def test_a_referrer_is_deleted_although_an_image_is_at_the_fallback_tag(server, registry, image):
    server.manifest(GOOD)
    server.manifest(MANIFEST, at=referrers_tag(SUBJECT.digest))
    server.answers[f"DELETE /v2/team/app/manifests/{digest_of(GOOD)}"] = raw(status=202)
    await registry.delete(image.at_digest(digest_of(GOOD)))
    assert not [asked for asked in server.asked if asked.startswith("PUT")]


@pytest.mark.parametrize("status", [400, 405])
async def test_a_tag_that_cannot_be_deleted_by_itself_is_said_to_be_so(server, registry, status):
    server.answers["DELETE /v2/team/app/manifests/1"] = raw(status=status)
    with pytest.raises(ServiceRefused) as refused:
        await registry.delete(server.image)
    assert "deletes by digest only" in refused.value.hint


async def test_what_others_wrote_into_the_list_stays_as_it_is(server, registry, image):
    tag = TagWithRivals(server)
    foreign = {
        "mediaType": IMAGE_MANIFEST,
        "digest": digest_of(b"x"),
        "size": 1,
        "urls": ["https://a.example"],
        "x": 1.5,
    }
    tag.data = json.dumps({**json.loads(listing(foreign)), "annotations": {"a": "b"}}).encode()
    await registry.attach(image, IMAGE_MANIFEST, GOOD)
    document = json.loads(tag.data)
    assert document["manifests"][0] == foreign
    assert document["annotations"] == {"a": "b"}


# --- further attempts --------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_registry_that_is_busy_is_asked_again(server, status):
    answers = [raw(status=status), raw(status=status), raw(MANIFEST, Content_Type=IMAGE_MANIFEST)]
    server.answers["GET /v2/team/app/manifests/1"] = lambda _request: answers.pop(0)
    async with client(attempts=3) as registry:
        assert (await registry.manifest(server.image))[1] == MANIFEST


async def test_a_registry_that_stays_busy_is_given_up_with_its_own_words(server):
    busy = raw(b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "later"}]}', 429)
    server.answers["GET /v2/team/app/manifests/1"] = busy
    async with client(attempts=3) as registry:
        with pytest.raises(Unavailable, match="answered 429: 'TOOMANYREQUESTS later'"):
            await registry.manifest(server.image)
    assert len(server.asked) == 3


async def test_a_time_to_wait_is_kept_but_not_for_hours(server, monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("client.oci.session.asyncio.sleep", sleep)
    server.answers["GET /v2/team/app/manifests/1"] = raw(status=429, Retry_After="7")
    server.answers["GET /v2/team/app/manifests/2"] = raw(status=429, Retry_After="86400")
    server.answers["GET /v2/team/app/manifests/3"] = raw(status=429, Retry_After="Fri, 01 Jan 2038 00:00:00 GMT")
    async with client(attempts=2) as registry:
        for tag in "123":
            with pytest.raises(Unavailable):
                await registry.manifest(server.image.at_tag(tag))
    assert waited == [7.0, 30.0, 0.01]


async def test_an_upload_that_breaks_off_is_begun_anew(server):
    places = iter(["/up/1", "/up/2"])
    server.answers["POST /v2/team/app/blobs/uploads/"] = lambda _request: raw(status=202, Location=next(places))
    server.answers["PUT /up/1"] = raw(status=500)
    server.answers["PUT /up/2"] = raw(status=201)
    async with client(attempts=2) as registry:
        await registry.put_blob(server.image, CONTENT)
    assert [seen.body for seen in server.seen if seen.path == "/up/2"] == [CONTENT]


async def test_a_refusal_is_not_asked_again(server):
    server.answers["GET /v2/team/app/manifests/1"] = raw(status=403)
    async with client(attempts=3) as registry:
        with pytest.raises(ServiceRefused):
            await registry.manifest(server.image)
        with pytest.raises(NotFound):
            await registry.manifest(server.image.at_tag("2"))
    assert len(server.asked) == 2


async def test_a_registry_that_is_not_there_is_said_to_be_unreachable(registry, unused_tcp_port):
    with pytest.raises(Unavailable, match=r"https://127\.0\.0\.1:\d+/v2/.* cannot be reached"):
        await registry.manifest(parse_reference(f"127.0.0.1:{unused_tcp_port}/team/app"))
