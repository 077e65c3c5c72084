# SPDX-License-Identifier: Apache-2.0
"""Two kinds of plots as SVG text: bars with a range, and groups of bars. Colours hold on light and dark
ground, and no two bars are told apart by colour alone."""

from html import escape

COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#888888", "#bb7744")
ROW, LEFT, RIGHT, TOP = 26, 270, 90, 54
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.t{font-size:16px;font-weight:600}.s{fill:#666}"
    "svg{background:#fff}"
)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def page(title, subtitle, width, height, parts):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">\n'
        f"<style>{STYLE}</style>\n"
        f'<text class="t" x="12" y="22">{escape(title)}</text>\n'
        f'<text class="s" x="12" y="41">{escape(subtitle)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x, y, words, anchor="start", kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" fill="{colour}" rx="2"/>'


def line(x1, y1, x2, y2, colour="#222", dash=""):
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def bars(title, subtitle, rows, width=860):
    """rows: (label, value, low, high), one bar each; low and high may be None."""
    scale = (width - LEFT - RIGHT) / max(max(value, high or 0) for _, value, _, high in rows)
    parts = []
    for i, (label, value, low, high) in enumerate(rows):
        y = TOP + i * ROW
        parts += [
            text(LEFT - 10, y + 15, label, "end"),
            bar(LEFT, y + 3, value * scale, ROW - 8, COLOURS[i % len(COLOURS)]),
            text(LEFT + max(value, high or 0) * scale + 8, y + 15, number(value)),
        ]
        if low is not None:
            parts.append(line(LEFT + low * scale, y + 12, LEFT + high * scale, y + 12))
    return page(title, subtitle, width, TOP + len(rows) * ROW + 12, parts)


def groups(title, subtitle, names, rows, mark=None, width=860):
    """rows: (label, [a value or None for each of names]); mark: a line across all at this value."""
    most = max(v for _, values in rows for v in values if v is not None)
    scale = (width - LEFT - RIGHT) / most
    parts, y = [], TOP + 4
    for i, name in enumerate(names):
        parts += [bar(12, y + i * 18, 12, 12, COLOURS[i % len(COLOURS)]), text(30, y + i * 18 + 11, name)]
    y += len(names) * 18 + 10
    begin = y
    for label, values in rows:
        parts.append(text(LEFT - 10, y + len(values) * 8 + 4, label, "end"))
        for i, value in enumerate(values):
            if value is not None:
                parts.append(bar(LEFT, y + i * 16, value * scale, 13, COLOURS[i % len(COLOURS)]))
                parts.append(text(LEFT + value * scale + 6, y + i * 16 + 11, number(value), kind="s"))
        y += len(values) * 16 + 12
    if mark is not None:
        parts.append(line(LEFT + mark * scale, begin - 4, LEFT + mark * scale, y - 8, "#ee6677", "4 3"))
    return page(title, subtitle, width, y + 4, parts)
