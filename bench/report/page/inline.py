"""SVG figures inside the page: unique ids, the page's text colour, grouped under headings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup

from bench.report.figures.draw import CAPTIONS
from bench.report.figures.style import INK, WIDTH
from bench.storage.layout import Row

GROUPS = {
    "Over data sets": ("intervals", "profile", "cost", "improvement"),
    "Tuning": ("tuning",),
    "Learning curves": ("curve",),
    "Importance weights": ("weights",),
}
"""Kinds of figures (first part of the name) by heading."""
FIRST = ("intervals", "curve")  # kinds of the figure that the page opens with


def figure_groups(svgs: Mapping[str, str]) -> list[Row]:
    """Title of each group, and (SVG, wide, caption) of its figures."""
    found: dict[str, list[tuple[Markup, bool, str]]] = {}
    for name, svg in svgs.items():
        kind = name.split("-")[0]
        found.setdefault(kind, []).append((*_inline(name, svg), CAPTIONS[kind]))
    groups = ({"title": title, "figures": [figure for kind in kinds for figure in found.get(kind, [])]} for title, kinds in GROUPS.items())
    return [group for group in groups if group["figures"]]


def first_figure(svgs: Mapping[str, str]) -> str:
    """The name of the figure that the page opens with: the aggregates, else the first learning curve; empty if there is none."""
    return next((name for kind in FIRST for name in svgs if name.split("-")[0] == kind), "")


def _inline(name: str, svg: str) -> tuple[Markup, bool]:
    """The <svg> element in the page's text colour on a clear ground (readable in dark mode); True if it is wider than a column."""
    body = svg[svg.index("<svg") :].replace(INK, "currentColor")
    body = re.sub(r'(<g id="patch_1">\s*<path[^>]*?style=")fill: #ffffff', r"\1fill: none", body, count=1)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
    attributes = f'xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{name}"'
    points = float(re.search(r'viewBox="\S+ \S+ (\S+) ', body)[1])  # type: ignore[index]
    if wide := points > 72 * WIDTH + 1:
        attributes += f' style="width: clamp({1.4 * points:.0f}px, 100%, {1.6 * points:.0f}px)"'
    return Markup(re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" {attributes}>', body)), wide
