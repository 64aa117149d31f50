"""The kinds of video tokenizers and dynamics that there are, by name; anybody can add one.

A world bundle names the kinds of its networks and nothing more, so a kind is known once the module that registers it
was imported by whoever opens the bundle; a bundle never makes anything be imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from genie_env.config import DYNAMICS_KINDS, TOKENIZER_KINDS, DynamicsConfig, TokenizerConfig
from genie_env.models.dynamics import Dynamics
from genie_env.models.ensemble import DynamicsEnsemble
from genie_env.models.latent_action import LatentActionModel
from genie_env.models.outcome import OutcomeHead
from genie_env.models.tokenizer import FSQTokenizer, PatchCodebook


@dataclass(frozen=True)
class Kind:
    """One kind of a network."""

    model: Callable[[Any], nn.Module]
    """Builds the network from its configuration."""
    trainer: Callable[..., nn.Module] | None = None
    """Trains it; the package ``training`` says what it is given. None: it cannot be trained."""


TOKENIZERS: dict[str, Kind] = {"codebook": Kind(PatchCodebook), "fsq": Kind(FSQTokenizer)}
DYNAMICS: dict[str, Kind] = {"transformer": Kind(Dynamics), "ensemble": Kind(DynamicsEnsemble)}


def register_tokenizer(
    kind: str,
    model: Callable[[Any], nn.Module],
    config: type[TokenizerConfig] = TokenizerConfig,
    trainer: Callable[..., nn.Module] | None = None,
) -> None:
    """Make a kind of video tokenizer known; a later one of the same name replaces it.

    Args:
        kind: name, as in ``TokenizerConfig.kind``.
        model: builds one from its configuration: a :class:`~genie_env.models.protocols.VideoTokenizer`.
        config: the class of its settings, derived from ``TokenizerConfig`` where it has some of its own.
        trainer: called as ``trainer(config, store)`` with the settings of ``training.train_tokenizer`` and the
            recording; returns the trained model. See :mod:`training.tokenizer.task`.

    Raises:
        ValueError: if ``kind`` is no name or ``config`` no such class.
    """
    _require_name_and_class(kind, config, TokenizerConfig)
    TOKENIZERS[kind], TOKENIZER_KINDS[kind] = Kind(model, trainer), config


def register_dynamics(
    kind: str,
    model: Callable[[Any], nn.Module],
    config: type[DynamicsConfig] = DynamicsConfig,
    trainer: Callable[..., nn.Module] | None = None,
) -> None:
    """Make a kind of dynamics known; a later one of the same name replaces it.

    Args:
        kind: name, as in ``DynamicsConfig.kind``.
        model: builds one from its configuration: a :class:`~genie_env.models.protocols.TokenWorldModel`.
        config: the class of its settings, derived from ``DynamicsConfig`` where it has some of its own.
        trainer: called as ``trainer(config, size, store)`` with the settings of ``training.train_dynamics``, the
            network's configuration and the tokens; returns the trained model. See :mod:`training.dynamics.task`.

    Raises:
        ValueError: if ``kind`` is no name or ``config`` no such class.
    """
    _require_name_and_class(kind, config, DynamicsConfig)
    DYNAMICS[kind], DYNAMICS_KINDS[kind] = Kind(model, trainer), config


def make_tokenizer(config: TokenizerConfig) -> Any:
    """Build the tokenizer that ``config`` describes: a :class:`~genie_env.models.protocols.VideoTokenizer`."""
    return TOKENIZERS[config.kind].model(config)


def make_dynamics(config: DynamicsConfig) -> Any:
    """Build the dynamics that ``config`` describes: a :class:`~genie_env.models.protocols.TokenWorldModel`."""
    return DYNAMICS[config.kind].model(config)


def make_network(name: str, config: Any) -> Any:
    """Build one of the networks of a world, named as in ``genie_env.config.NETWORKS``, from its configuration."""
    makers = {
        "tokenizer": make_tokenizer,
        "latent_action": LatentActionModel,
        "dynamics": make_dynamics,
        "outcome": OutcomeHead,
    }
    return makers[name](config)


def _require_name_and_class(kind: str, config: type, base: type) -> None:
    if not kind or not isinstance(kind, str):
        raise ValueError(f"kind: expected a name, got {kind!r}")
    if not (isinstance(config, type) and issubclass(config, base)):
        raise ValueError(f"config of {kind!r}: expected a class derived from {base.__name__}, got {config!r}")
