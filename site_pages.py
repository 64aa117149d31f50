"""A hook of MkDocs: the site holds the page of every bundled world at ``play/NAME/``, to which its gallery links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

from genie_env.bundle import bundled_worlds
from genie_env.web.commands import Web, make_page


def on_post_build(config: Any) -> None:
    """Write the pages into the finished site.

    Raises:
        PluginError: if a page cannot be written, as without onnxruntime-web; it says what to do.
    """
    try:
        for name in bundled_worlds():
            make_page(Web(world=name, out=Path(config.site_dir) / "play" / name))
    except (ImportError, ValueError, OSError) as error:
        raise PluginError(f"pages of the gallery: {error}") from error
