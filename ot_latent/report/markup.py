"""Pieces of HTML as strings: everything that comes from outside is escaped here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ot_latent.report.looks import CSS

KINDS = {b"\x89PNG": "image/png", b"<?xml": "image/svg+xml"}


@dataclass(frozen=True)
class Picture:
    """A picture with what is to be said about it.

    Attributes
    ----------
    data : bytes
        A PNG or SVG file.
    caption : str
        A sentence below it; also what a reader without pictures gets.
    framed : bool
        Whether it gets a thin border.
    """

    data: bytes
    caption: str
    framed: bool = False

    def html(self) -> str:
        """Return the figure, its data inside.

        Returns
        -------
        str
            HTML.
        """
        kind = next(kind for head, kind in KINDS.items() if self.data.startswith(head))
        uri = f"data:{kind};base64,{base64.b64encode(self.data).decode()}"
        style, words = ' class="framed"' if self.framed else "", escape(self.caption)
        return (
            f'<figure{style}><img src="{uri}" alt="{words}"><figcaption>{words}</figcaption>'
            "</figure>"
        )


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph.

    Parameters
    ----------
    text : str
        Plain text.
    kind : str, default=""
        Class of the paragraph.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> paragraph("a < b", "note")
    '<p class="note">a &lt; b</p>'
    """
    style = f' class="{kind}"' if kind else ""
    return f"<p{style}>{escape(text)}</p>"


def section(anchor: str, heading: str, parts: Iterable[str]) -> str:
    """Return a section of the page.

    Parameters
    ----------
    anchor : str
        Its name in links.
    heading : str
        Plain text.
    parts : iterable of str
        HTML.

    Returns
    -------
    str
        HTML.
    """
    return f'<section id="{anchor}"><h2>{escape(heading)}</h2>\n' + "\n".join(parts) + "</section>"


def bullets(sentences: Iterable[str]) -> str:
    """Return a list of sentences.

    Parameters
    ----------
    sentences : iterable of str
        Plain text.

    Returns
    -------
    str
        HTML.
    """
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in sentences) + "</ul>"


def facts(pairs: Mapping[str, str]) -> str:
    """Return names and what they stand for.

    Parameters
    ----------
    pairs : mapping of str to str
        Plain text.

    Returns
    -------
    str
        HTML.
    """
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs.items())
    return f'<dl class="facts">{"".join(rows)}</dl>'


def card(name: str, value: str, interval: str, words: str) -> str:
    """Return one key number with what it means.

    Parameters
    ----------
    name, value, interval, words : str
        Plain text.

    Returns
    -------
    str
        HTML.
    """
    return (
        f'<div class="card"><div class="name">{escape(name)}</div>'
        f'<div class="value">{escape(value)}</div>'
        f'<div class="interval">{escape(interval)}</div>{paragraph(words)}</div>'
    )


def side_by_side(parts: Iterable[str]) -> str:
    """Return two pieces next to each other.

    Parameters
    ----------
    parts : iterable of str
        HTML.

    Returns
    -------
    str
        HTML.
    """
    return f'<div class="pair">{"".join(parts)}</div>'


def table(
    columns: Sequence[tuple[str, str]],
    rows: Iterable[tuple[str, str, str, Sequence[tuple[str, str]]]],
) -> str:
    """Return a table of numbers with their intervals.

    Parameters
    ----------
    columns : sequence of (str, str)
        Heading and which direction is good.
    rows : iterable of (str, str, str, sequence of (str, str))
        Class, name and role of the row, and for each column number and interval.

    Returns
    -------
    str
        HTML.
    """
    heads = "".join(
        f'<th>{escape(name)}<span class="want">{escape(want)}</span></th>' for name, want in columns
    )
    lines = []
    for kind, name, role, cells in rows:
        numbers = "".join(
            f'<td>{escape(value)}<span class="interval">{escape(interval)}</span></td>'
            for value, interval in cells
        )
        first = f'{escape(name)}<span class="role">{escape(role)}</span>'
        lines.append(f'<tr class="{kind}"><td>{first}</td>{numbers}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def page(
    title: str, lead: str, head: str, sections: Mapping[str, tuple[str, str]], record: Any
) -> str:
    """Return the whole page.

    Parameters
    ----------
    title, lead : str
        Plain text.
    head : str
        HTML below the title.
    sections : mapping of str to (str, str)
        For each anchor the word in the bar of links, and the section's HTML.
    record : object
        What JSON can hold, kept in the page for machines, under the id ``record``.

    Returns
    -------
    str
        HTML.
    """
    links = "".join(
        f'<li><a href="#{anchor}">{escape(word)}</a></li>' for anchor, (word, _) in sections.items()
    )
    body = "\n".join(html for _, html in sections.values())
    data = json.dumps(record, sort_keys=True).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>{CSS}</style></head><body>
<header><div class="inner"><h1>{escape(title)}</h1>{paragraph(lead, "lead")}
{head}</div></header>
<nav><ul>{links}</ul></nav>
<main>
{body}
</main>
<footer>Made by ot-latent. This page is complete in itself: it loads nothing. All numbers are kept in
it as JSON too, in the element with the id &ldquo;record&rdquo;.</footer>
<script type="application/json" id="record">{data}</script>
</body></html>
"""
