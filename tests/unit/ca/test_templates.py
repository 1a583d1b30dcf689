# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import pytest

from ca.templates import LENGTH, parse_template
from sigcore.errors import Malformed, Refused

VALUES = {"url": "https://ci.example", "ref": "main", "ref_type": "branch", "a/b.c": "17", "empty": "", "t": "true"}


# What stands right is what Go's text/template gives for the same text, with missingkey=error and a map of strings.
@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("ref", "main"),
        ("a/b.c", "17"),
        ("empty", ""),
        ("{{ .url }}/{{.ref}}", "https://ci.example/main"),
        ("{{\n.ref\n}}", "main"),
        ('{{index . "a/b.c"}}', "17"),
        ('x{{(index . "a/b.c")}}y', "x17y"),
        ('{{ ( index  .  "absent" ) }}', ""),
        ('{{index . "absent"}}', ""),
        ('{{if eq .ref_type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}', "heads/main"),
        ('{{if eq .ref_type "tag"}}heads/{{ else }}tags/{{end}}{{ .ref }}', "tags/main"),
        ('{{if eq (index . "absent") "true"}}ssh{{ else }}""{{end}}', '""'),
        ('{{if eq (index . "t") "true"}}ssh{{ else }}""{{end}}', "ssh"),
        ('{{if eq .ref "main"}}yes{{end}}', "yes"),
        ('{{if eq .ref "dev"}}yes{{end}}', ""),
        ("{{if eq .ref .ref}}{{if eq .t .ref}}a{{else}}b{{end}}{{else}}c{{end}}", "b"),
        ('{{if eq "x" "x"}}{{.ref}}{{end}}', "main"),
        ("a }} b{{.ref}}", "a }} bmain"),
        ("{{.empty}}-{{.ref}}", "-main"),
    ],
)
def test_what_go_makes_of_it(template, text):
    assert parse_template(template).render(VALUES) == text


@pytest.mark.parametrize("template", ["absent", "{{ .absent }}", "{{ if eq .absent .ref }}x{{ end }}"])
def test_a_value_that_is_needed_and_not_there(template):
    with pytest.raises(Refused, match="no claim 'absent'"):
        parse_template(template).render(VALUES)


def test_a_branch_that_is_not_taken_needs_nothing():
    assert parse_template('{{if eq .ref "dev"}}{{.absent}}{{else}}ok{{end}}').render(VALUES) == "ok"


@pytest.mark.parametrize(
    "template",
    [
        "{{",
        "{{ .ref",
        "{{}}",
        "{{ }}",
        "{{ . }}",
        "{{ ref }}",
        "{{ .a.b }}",
        "{{ .a b }}",
        "{{ .ref | printf }}",
        "{{- .ref -}}",
        "{{/* comment */}}",
        '{{ "text" }}',
        "{{ $x := .ref }}",
        "{{ index .ref 1 }}",
        '{{ index . "a" "b" }}',
        r'{{ index . "a\"b" }}',
        "{{ index . `a` }}",
        '{{ (index . "a" }}',
        "{{ if .ref }}x{{ end }}",
        '{{ if ne .ref "x" }}x{{ end }}',
        '{{ if eq .ref "x" "y" }}x{{ end }}',
        '{{ if eq .ref "x" }}x',
        '{{ if eq .ref "x" }}x{{ else }}y',
        '{{ if eq .ref "x" }}x{{ else }}y{{ else }}z{{ end }}',
        '{{ if eq .ref "x" }}x{{ else if eq .ref "y" }}y{{ end }}',
        "{{ end }}",
        "{{ else }}",
        "x{{ .ref }}{{ end }}",
        "{{ range . }}{{ end }}",
        "{{ with .ref }}{{ end }}",
        '{{ template "x" }}',
        '{{ define "x" }}{{ end }}',
        "{{ call .ref }}",
        "{{ html .ref }}",
        "{{{ .ref }}}",
        "{{ .ref {{ .ref }}",
        "x" * (LENGTH + 1),
    ],
)
def test_more_of_gos_language_is_refused_when_it_is_read(template):
    with pytest.raises(Malformed, match="template"):
        parse_template(template)


def test_a_value_is_not_read_as_a_template():
    assert parse_template("{{ .ref }}").render({"ref": "{{ .url }}"}) == "{{ .url }}"


def test_every_name_that_it_may_look_at_is_known():
    template = parse_template('{{ .a }}{{ if eq .b (index . "c") }}{{ .d }}{{ else }}{{ index . "e" }}{{ end }}')
    assert template.names() == set("abcde")
    assert parse_template("f").names() == {"f"}


def test_hostile_templates_are_read_in_no_time():
    started = time.process_time()
    for text in ("{{" * 1000, "{{ if eq .a .a }}" * 100, "{{ " + " " * 2000 + "}}", '{{ index . "' + "a" * 2000):
        with pytest.raises(Malformed):
            parse_template(text)
    assert time.process_time() - started < 0.2
