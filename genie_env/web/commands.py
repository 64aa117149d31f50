"""The commands ``genie-env export`` and ``genie-env web``: their flags, and what they do with them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from genie_env.envs.options import ActionType, EnvOptions

if TYPE_CHECKING:
    from genie_env.bundle import Bundle
    from genie_env.portable.step import StepOptions


@dataclass(frozen=True)
class StepFlags:
    """What is fixed when a graph is built."""

    action_type: ActionType | None = None
    """Kind of actions: real (the game's own) or latent (codes); None: real where mapped."""
    decode_steps: int | None = None
    """Passes per frame: more draw tokens one after another; None takes the world's own."""
    top_p: float | None = None
    """Nucleus from which tokens are drawn, in (0, 1]; None takes the world's own."""
    diversity_window: int = 5
    """Number of recent actions that action diversity looks at."""


@dataclass(frozen=True)
class Export(StepFlags):
    """Write a world's step as an ONNX graph, and beside it the graph that turns its tokens into pictures.

    In the folder of the world's bundle they point to its weights, elsewhere they hold them. docs/portable.md tells
    what goes in and comes out.
    """

    world: tyro.conf.Positional[str] = "pong"
    """Bundled name, folder or hf:// address of the world."""
    out: Path | None = None
    """File to write, which ends in .onnx; None takes the world's name."""


@dataclass(frozen=True)
class Web(StepFlags):
    """Write a world as a static page that dreams in the visitor's browser, or serve it on this machine.

    The folder may be put on any static web server. Without --out the page is served and opened, and gone after Ctrl-C.
    """

    world: tyro.conf.Positional[str] = "pong"
    """Bundled name, folder or hf:// address of the world."""
    out: Path | None = None
    """Folder to write; None serves the page from a temporary one."""
    replace: bool = False
    """Replace the folder if it is there."""
    serve: bool = False
    """Serve the written folder too, until Ctrl-C."""
    port: int = 0
    """Port to serve at; 0 takes any free one."""
    browse: bool = True
    """Open the served page in the browser."""
    ort_web: Path | None = None
    """Folder with the files of onnxruntime-web; None finds them in node_modules or asks npm."""


def export_world(args: Export) -> None:
    """Run ``genie-env export``."""
    from genie_env.bundle import open_bundle
    from genie_env.portable.export import export

    bundle = open_bundle(args.world)
    out = args.out or Path(f"{bundle.config.name}.onnx")
    for path in export(bundle, out, _options(args, bundle)):
        print(f"{path}, {path.stat().st_size / 1e6:.1f} MB")


def make_page(args: Web) -> None:
    """Run ``genie-env web``."""
    if args.out is None:
        with tempfile.TemporaryDirectory(prefix="genie-env-") as folder:
            _serve(args, _write(args, Path(folder) / "site"))
        return
    out = _write(args, args.out)
    print(f"{out}: put it on any static web server, or run: python -m http.server --directory {out}")
    if args.serve:
        _serve(args, out)


def _write(args: Web, out: Path) -> Path:
    from genie_env.bundle import open_bundle
    from genie_env.web.site import write_site

    bundle = open_bundle(args.world)
    return write_site(bundle, out, _options(args, bundle), args.ort_web, args.replace)


def _serve(args: Web, folder: Path) -> None:
    from genie_env.web.server import serve

    serve(folder, args.port, args.browse)


def _options(flags: StepFlags, bundle: Bundle) -> StepOptions:
    """The flags checked as the environment checks them, defaults from the world."""
    from genie_env.portable.step import StepOptions

    names = ("action_type", "decode_steps", "top_p", "diversity_window")
    resolved = EnvOptions(**{name: getattr(flags, name) for name in names}).resolved(bundle.config)
    return StepOptions(resolved.sampling, resolved.action_type, resolved.diversity_window)
