"""What is loaded into the kernels that execute chapters for the site: an IPython extension.

A figure of matplotlib is drawn twice, for light pages and for dark ones, and knows how narrow it may be shown before its
smallest letters are too small; one that is too wide for a phone is drawn for that, too, with its panels below each other. And the kernel knows which files of the package it has read.
"""

import base64
import colorsys
import math
import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).resolve().parent.parent / "modreg")
SMALLEST = 9  # px, of a letter that can be read
NARROW = 350  # px, the room for a figure on a phone
opened = set()


def files_read() -> list[str]:
    "Files of the package that this process has read, and this one"
    modules = {module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    return [*sorted(path for path in opened | modules if path.startswith(PACKAGE) and "__pycache__" not in path), __file__]


def _dark(colour: tuple[float, ...], ground: float = 0.08) -> tuple[float, ...]:
    "The colour that stands for another on a dark page: greys are turned round, what is very dark or very pale is moved to the middle"
    hue, light, full = colorsys.rgb_to_hls(*colour[:3])
    if full < 0.15 or max(colour[:3]) - min(colour[:3]) < 0.06:
        light = ground + (0.92 - ground) * (1 - light)
    else:
        light = 1.1 - light if light > 0.75 else max(light, 0.55)
    return (*colorsys.hls_to_rgb(hue, min(light, 1.0), full), colour[3])


def _night(colours):  # -> Colormap, or None of one that does not rise from white
    "The colour map that stands on a dark page for one whose least colour is that of a light page"
    from matplotlib.colors import ListedColormap

    if min(colours(0.0)[:3]) < 0.9 or min(colours(1.0)[:3]) > 0.6:
        return None
    turned = [(hue, 0.1 + 0.8 * (1 - light), full) for hue, light, full in (colorsys.rgb_to_hls(*colours(k / 255)[:3]) for k in range(256))]
    return ListedColormap([colorsys.hls_to_rgb(*one) for one in turned])


def darken(figure):  # -> Callable that undoes it
    "Recolour all that a figure draws on its ground; what lies on a picture or a surface, and what stands for a number by its colour, stays"
    from matplotlib import collections, colors, image, lines, patches, text
    from matplotlib.quiver import Quiver

    undo = []

    def change(artist, *names):
        for name in names:
            old = getattr(artist, f"get_{name}")()
            every = colors.to_rgba_array(old)
            undo.append((getattr(artist, f"set_{name}"), old))
            new = [_dark(tuple(one), 0.35 if id(artist) in raised else 0.08) if one[3] else tuple(one) for one in every]
            getattr(artist, f"set_{name}")(new if isinstance(artist, collections.Collection) else new[0] if new else old)

    numbered = [axes for axes in figure.axes if any(isinstance(a, collections.PathCollection | Quiver) and a.get_array() is not None for a in axes.collections)]  # whose dots or arrows stand for numbers by their colour
    raised = {id(a) for axes in numbered for a in (*axes.lines, *axes.collections, *axes.patches)}  # greys on their grey ground
    kept = set()
    for axes in figure.axes:
        painted = [a for a in axes.get_children() if isinstance(a, image.AxesImage | collections.QuadMesh) or type(a).__name__ in ("QuadContourSet", "TriContourSet", "Poly3DCollection")]
        nights = [(a, night) for a in painted if (night := _night(a.get_cmap()))]
        for one, night in nights:
            undo.append((one.set_cmap, one.get_cmap()))
            one.set_cmap(night)
        axes._modreg_painted = len(nights) < len(painted)
        if axes._modreg_painted:
            ground = [axes.patch] if all(type(a).__name__ == "QuadContourSet" for a in painted) else []  # a map of a sphere does not fill its panel, nor has it anything to keep there
            inside = [*axes.lines, *axes.collections, *axes.patches, *axes.texts, *axes.images, *filter(None, [axes.get_legend()]), *ground]
            kept |= {id(part) for one in inside for part in one.findobj()}
        for axis in [axes.xaxis, axes.yaxis, axes.zaxis] if hasattr(axes, "zaxis") else []:
            axis.pane.set_alpha(None)
            change(axis.pane, "facecolor", "edgecolor")
            change(axis.line, "color")
            old = axis._axinfo["grid"]["color"]
            undo.append((lambda old, axis=axis: axis._axinfo["grid"].update(color=old), old))
            axis._axinfo["grid"]["color"] = (1, 1, 1, 0.2)
    for artist in figure.findobj():
        if id(artist) in kept or artist is figure.patch:
            continue
        if isinstance(artist, text.Text):
            change(artist, "color")
            arrow = getattr(artist, "arrow_patch", None)
            for patch in filter(None, [artist.get_bbox_patch(), arrow]):
                change(patch, "facecolor", "edgecolor")
        elif isinstance(artist, lines.Line2D):
            change(artist, *(name for name in ("markerfacecolor", "markeredgecolor") if getattr(artist, f"_{name}") not in ("auto", "none")), "color")  # auto: that of the line
        elif isinstance(artist, patches.Patch):
            change(artist, "facecolor", "edgecolor")
        elif isinstance(artist, collections.Collection):
            if artist.get_array() is None and len({tuple(c) for c in artist.get_facecolor()}) < 12:
                change(artist, "facecolor", "edgecolor")
    for axes in numbered:  # these lie on grey, in which neither the darkest nor the palest are lost
        if not axes._modreg_painted:
            for ground in [axis.pane for axis in (axes.xaxis, axes.yaxis, axes.zaxis)] if hasattr(axes, "zaxis") else [axes.patch]:
                undo.append((ground.set_facecolor, ground.get_facecolor()))
                ground.set_facecolor((0.24, 0.24, 0.24))
    undo.append((figure.patch.set_facecolor, figure.patch.get_facecolor()))
    figure.patch.set_facecolor("none")
    return lambda: [setter(old) for setter, old in reversed(undo)]


def smallest_letters(figure) -> float:
    "Size of the smallest text that a figure shows, pt, exponents included; 10 if it has none"
    from matplotlib.text import Text

    off = {id(part) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if not (axes.axison and axes.get_visible() and axis.get_visible()) for part in axis.findobj(Text)}
    return min((t.get_fontsize() * (0.7 if "^" in t.get_text() else 1) for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in off), default=10.0)


def stack(figure):  # -> Callable that undoes it; None where panels cannot be moved
    "Make a figure as narrow as a phone shows it with letters that can be read, and set panels that lie side by side under each other, two in a row where there are many"
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    specs = [axes.get_subplotspec() for axes in panels]
    grid = specs[0].get_gridspec() if specs else None
    if grid is None or figure.subfigs or any(spec.get_gridspec() is not grid or spec.num1 != spec.num2 for spec in specs) or any(len(axes.texts) > 12 for axes in panels):
        return None
    width, height = figure.get_size_inches()
    narrow, undo = smallest_letters(figure) * NARROW / 72 / (1.02 * SMALLEST) - 0.1, []  # inch
    columns = 4 if len(panels) > 20 and grid.ncols >= 4 else 2 if len(panels) > 3 and width / grid.ncols < narrow / 1.4 else 1
    rows = grid.nrows if columns == grid.ncols else -(-len(panels) // columns)
    new = grid if columns == grid.ncols else grid.__class__(rows, columns, figure=figure)
    for k, (axes, spec) in enumerate(zip(panels, specs, strict=True)):
        undo.append((axes.set_subplotspec, spec))
        axes.set_subplotspec(spec if new is grid else new[k])
        for axis, name in ((axes.yaxis, "labelleft"), (axes.xaxis, "labelbottom")):
            if new is not grid and (name == "labelleft" or columns == 1) and axis._get_shared_axes()[1:] and not axis.get_tick_params()[name]:  # of shared axes only the outer ones had numbers
                undo.append((lambda off, axes=axes, name=name: axes.tick_params(**{name: off}), False))
                axes.tick_params(**{name: True})
                if name == "labelleft" and not axes.get_ylabel():
                    undo.append((axes.set_ylabel, ""))
                    axes.set_ylabel(panels[0].get_ylabel())
    if (engine := figure.get_layout_engine()) and "h_pad" in engine.get():  # a title is not to touch the label of the panel above
        undo.append((lambda old: engine.set(**old), {"h_pad": engine.get()["h_pad"]}))
        engine.set(h_pad=0.09)
    undo.append((figure.set_size_inches, (width, height)))
    panel, least = height / grid.nrows, 2.2 if columns == 1 else 0.0  # inch
    figure.set_size_inches(narrow, rows * max(min(panel, least), panel * min(1, 1.2 * narrow / columns / (width / grid.ncols))))
    return lambda: [setter(old) for setter, old in reversed(undo)]


def both(figure) -> tuple[list[str], int, int]:
    "Two pictures in base64, for light pages and for dark ones, and their size in px"
    from IPython.core.pylabtools import print_figure

    light, undo = print_figure(figure, "png", dpi=2 * figure.dpi), darken(figure)
    dark = print_figure(figure, "png", dpi=2 * figure.dpi)
    undo()
    width, height = (int.from_bytes(light[at : at + 4]) // 2 for at in (16, 20))
    return [base64.b64encode(png).decode() for png in (light, dark)], width, height


def html(figure) -> str:
    "Both pictures, of which the page shows one; where they would be too wide for a phone, two others for that if panels can be stacked"
    size = smallest_letters(figure) * figure.dpi / 72
    pictures, width, height = both(figure)
    least, sources, style = min(width, math.ceil(width * SMALLEST / size)), ["", ""], ""
    shown = least  # px, on a phone
    if least > NARROW and (undo := stack(figure)):
        with warnings.catch_warnings(action="error", category=UserWarning):
            try:
                narrow, w, h = both(figure)
            except UserWarning:  # panels have no room
                w = math.inf
            finally:
                undo()
        if w * SMALLEST / size < 1.15 * NARROW:  # a legend in one row may stick out
            sources = [f'<source media="(max-width: 600px)" width="{w}" height="{h}" srcset="data:image/png;base64,{png}">' for png in narrow]
            shown = min(w, math.ceil(w * SMALLEST / size))
            style = f"; --narrow: {shown}px"
    images = "".join(f'<picture>{source}<img class="only-{mode}" alt="" width="{width}" height="{height}" loading="lazy" src="data:image/png;base64,{png}"></picture>'
                     for mode, png, source in zip(("light", "dark"), pictures, sources, strict=True))
    kinds = " wide" * (shown > NARROW) + " stacked" * bool(style)
    return f'<figure class="plot{kinds}" style="--least: {least}px{style}"{" tabindex=0" * (least > NARROW)}>{images}</figure>'


def load_ipython_extension(shell) -> None:
    sys.addaudithook(lambda event, args: opened.add(args[0]) if event == "open" and isinstance(args[0], str) and args[0].startswith(PACKAGE) else None)
    shell.enable_matplotlib("inline")  # now, since it takes all formatters of figures away
    shell.display_formatter.formatters["text/html"].for_type_by_name("matplotlib.figure", "Figure", html)
