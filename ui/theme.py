"""The look of the page: two palettes, the system's fonts, and the style and script that lie beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

LIGHT = {
    "paper": "#f6f5f1", "panel": "#ffffff", "sunk": "#efede7", "line": "#dfdcd3", "ink": "#20211f",
    "quiet": "#65655f", "accent": "#1f6a5b", "accent_ink": "#ffffff", "wash": "#e3efeb", "warn": "#8a4b12",
}  # fmt: skip
DARK = {
    "paper": "#141614", "panel": "#1c1f1d", "sunk": "#242825", "line": "#343934", "ink": "#e9e9e3",
    "quiet": "#a0a49c", "accent": "#7fcdb9", "accent_ink": "#10201c", "wash": "#20342e", "warn": "#e2ab74",
}  # fmt: skip

ROLES = {
    "body_background_fill": "paper", "background_fill_primary": "panel", "background_fill_secondary": "sunk",
    "body_text_color": "ink", "body_text_color_subdued": "quiet", "block_background_fill": "panel",
    "block_border_color": "line", "border_color_primary": "line", "border_color_accent": "accent",
    "block_label_text_color": "quiet", "block_title_text_color": "quiet", "block_label_background_fill": "panel",
    "input_background_fill": "panel", "input_border_color": "line", "input_border_color_focus": "accent",
    "input_placeholder_color": "quiet", "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent", "button_primary_text_color": "accent_ink",
    "button_primary_border_color": "accent", "button_secondary_background_fill": "panel",
    "button_secondary_background_fill_hover": "sunk", "button_secondary_text_color": "ink",
    "button_secondary_border_color": "line", "link_text_color": "accent", "link_text_color_hover": "accent",
    "link_text_color_visited": "accent", "link_text_color_active": "accent", "color_accent_soft": "wash",
}  # fmt: skip
"""Gradio's variables and the colour that each of them is."""


def make_theme() -> Any:
    """Gradio's plainest theme in our colours; no font is loaded."""
    import gradio as gr

    theme = gr.themes.Base(
        font=list(FONTS), font_mono=list(MONO), radius_size=gr.themes.sizes.radius_md, text_size=gr.themes.sizes.text_md
    )
    colours = {role: LIGHT[name] for role, name in ROLES.items()}
    colours |= {f"{role}_dark": DARK[name] for role, name in ROLES.items()}
    return theme.set(
        **colours, block_shadow="none", block_shadow_dark="none", block_border_width="0px", block_padding="0px",
        layout_gap="16px", input_border_width="1px", button_primary_shadow="none", button_secondary_shadow="none",
    )  # fmt: skip


def css() -> str:
    """The palettes as variables `--mn-*`, and the style."""
    return f"{_variables(':root', LIGHT)}{_variables('.dark', DARK)}{(HERE / 'page.css').read_text(encoding='utf-8')}"


def head() -> str:
    """What goes into the page's head: the script, and the size of a phone's window."""
    return f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>"


def _variables(scope: str, palette: dict[str, str]) -> str:
    return f"{scope}{{{''.join(f'--mn-{name}:{colour};' for name, colour in palette.items())}}}\n"
