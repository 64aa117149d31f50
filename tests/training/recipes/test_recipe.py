"""A recipe says every setting of every stage, in Python or in a file, and what is wrong with it shows at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from genie_env.config import SamplingConfig, SourceConfig, TokenizerConfig
from genie_env.files.errors import FileError
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig
from training.engine.loop import LoopConfig
from training.recipes import RECIPES, Recipe, find_recipe, read_recipe, register_recipe, write_recipe
from training.train import PIPELINE

FOLDERS = {stage.name: Path(stage.name) for stage in PIPELINE}
STAGE = {stage.name: stage for stage in PIPELINE}


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_stage_of_every_recipe_can_be_configured(name: str) -> None:
    for stage in PIPELINE:
        config = RECIPES[name].configure(stage, FOLDERS)
        assert isinstance(config, stage.config_class) and config.out == Path(stage.name)
        for field, source in stage.inputs.items():
            assert getattr(config, field) == Path(source)


def test_file_says_what_the_flags_of_the_stages_say(tmp_path: Path) -> None:
    recipe = find_recipe(
        str(
            toml(
                tmp_path,
                """
                [record]
                env = "MyGame-v0"
                steps = 500
                env_kwargs = { points = 1 }
                workers = 1
                [tokenizer]
                vocab_size = 60
                kind = "fsq"
                levels = [5, 4, 3]
                n_updates = 7
                adversarial_weight = 0.5
                [latent_action]
                num_actions = 4
                label_fraction = 0.5
                even = 0.2
                batch_size = 3
                [tokenize]
                recorded_actions = true
                [dynamics]
                width = 32
                num_heads = 2
                learning_rate = 1e-4
                clip_length = 9
                adversarial_weight = 0.25
                [dynamics.scheduled_sampling]
                begin = 0.25
                sampling = { top_p = 0.5 }
                [outcome]
                rewards = [0, 1]
                tolerance = 2
                [sampling]
                temperature = 0.5
                [export]
                num_starts = 3
                """,
            )
        )
    )
    found = {name: recipe.configure(stage, FOLDERS) for name, stage in STAGE.items()}
    assert (found["record"].env, found["record"].steps, found["record"].workers) == ("MyGame-v0", 500, 1)
    assert found["record"].env_kwargs == '{"points": 1}'
    assert found["tokenizer"].model == TokenizerConfig("fsq", vocab_size=60, levels=(5, 4, 3))
    assert found["tokenizer"].loop == LoopConfig(n_updates=7, batch_size=32)
    assert found["latent_action"].model.num_actions == 4 and found["latent_action"].loop.batch_size == 3
    assert (found["latent_action"].label_fraction, found["latent_action"].even) == (0.5, 0.2)
    assert found["tokenize"].recorded_actions
    assert (found["dynamics"].model.width, found["dynamics"].model.vocab_size) == (32, 60)
    assert found["dynamics"].model.num_actions == 4 and found["dynamics"].loop.learning_rate == 1e-4
    assert found["dynamics"].loop.muon_rate == 0.02, "what is not said is the default"
    assert found["dynamics"].clip_length == 9
    assert (found["tokenizer"].adversarial_weight, found["dynamics"].adversarial_weight) == (0.5, 0.25)
    assert found["dynamics"].scheduled_sampling == ScheduledSamplingConfig(
        begin=0.25, sampling=SamplingConfig(top_p=0.5)
    )
    assert found["outcome"].model.rewards == (0.0, 1.0) and found["outcome"].tolerance == 2
    assert found["outcome"].sampling == found["export"].sampling == SamplingConfig(temperature=0.5)
    assert found["export"].num_starts == 3


def test_file_may_begin_with_a_known_recipe(tmp_path: Path) -> None:
    path = toml(tmp_path, 'base = "pong"\n[dynamics]\nn_updates = 5\n[record]\nsteps = 9')
    recipe, pong = read_recipe(path, RECIPES), RECIPES["pong"]
    ours, theirs = (each.configure(STAGE["dynamics"], FOLDERS) for each in (recipe, pong))
    assert ours.loop.n_updates == 5 and ours.model == theirs.model and ours.loop.muon_rate == theirs.loop.muon_rate
    assert recipe.env == pong.env and recipe.steps == 9 and recipe.label_fraction == pong.label_fraction


def test_file_may_do_without_a_latent_action_model(tmp_path: Path) -> None:
    path = toml(tmp_path, f"latent_action = false\n{GAME}[tokenize]\nrecorded_actions = true")
    recipe = read_recipe(path, RECIPES)
    folders = {name: folder for name, folder in FOLDERS.items() if name != "latent_action"}
    assert recipe.configure(STAGE["tokenize"], folders).lam_path is None
    assert not hasattr(recipe.configure(STAGE["dynamics"], folders).model, "vocab_size"), "known once there are tokens"
    with pytest.raises(FileError, match="recorded_actions is off"):
        read_recipe(toml(tmp_path, f"latent_action = false\n{GAME}"), RECIPES)


def test_file_says_what_is_known_of_a_game(tmp_path: Path) -> None:
    table = '[game]\naction_meanings = ["LEFT", "RIGHT"]\neffects = [0, 1]\nkeys = { a = 0, d = 1 }\nfps = 20\n'
    assert read_recipe(toml(tmp_path, table + GAME), RECIPES).game == SourceConfig(
        "G-v0", action_meanings=("LEFT", "RIGHT"), effects=(0, 1), keys={"a": 0, "d": 1}, fps=20.0
    )


GAME = '[record]\nenv = "G-v0"\nsteps = 9\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[record", "not a recipe"),
        ("", "record: expected env and steps"),
        (f"{GAME}[dynamcs]\nwidth = 3", r"expected the tables .*\['dynamcs'\]"),
        ('base = "pnog"', r"base: expected one of .*'pnog'"),
        ("dynamics = 3\n" + GAME, "expected the tables"),
        (GAME + 'module = "os"', "a file cannot name a module; use --module"),
        (GAME + "[tokenizer]\nwidth = 3", r"tokenizer: unknown settings \['width'\]"),
        (GAME + '[tokenizer]\nkind = "nobodys"', "'nobodys'; import the module that registers it first"),
        (GAME + "[tokenizer]\nvocab_size = -1", "vocab_size"),
        (GAME + "[dynamics]\nlearning_rate = -1", "learning_rate"),
        (GAME + "[tokenize]\nrecorded_actions = true", "label_fraction > 0"),
        (GAME + "[tokenize]\nstride = 2", r"tokenize: unknown settings \['stride'\]"),
        ("a = " + "[" * 5000, "not a recipe"),
    ],
)
def test_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=rf"mine\.toml: .*{message}") as refused:
        read_recipe(toml(tmp_path, text), RECIPES)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "stage", "message"),
    [
        ("[dynamics]\nwidht = 3", "dynamics", "unknown fields .*'widht'"),
        ("[dynamics]\nclip_length = 'long'", "dynamics", "clip_length: expected int, got 'long'"),
        ("[record]\nframe_skip = 1.5", "record", "frame_skip: expected int"),
        ("[outcome]\nrewards = []", "outcome", "rewards: expected 1 to"),
        ("[dynamics]\nwidth = 33", "dynamics", "width 33 must be a multiple"),
    ],
)
def test_bad_setting_names_its_stage(tmp_path: Path, text: str, stage: str, message: str) -> None:
    text = text.replace("[record]", GAME) if "[record]" in text else GAME + text
    recipe = read_recipe(toml(tmp_path, text), RECIPES)
    with pytest.raises(ValueError, match=message):
        recipe.configure(STAGE[stage], FOLDERS)


def test_recipe_of_ones_own_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.recipes.RECIPES", dict(RECIPES))
    mine = Recipe(env="Mine-v0", steps=3)
    register_recipe("mine", mine)
    assert find_recipe("mine") is mine
    for name in ("", "mine.toml", "a/b"):
        with pytest.raises(ValueError, match="expected a name"):
            register_recipe(name, mine)
    with pytest.raises(ValueError, match=r"expected one of \[.*'mine'.*\] or a \.toml file, got 'yours'"):
        find_recipe("yours")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_written_recipe_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    write_recipe(tmp_path / "my.toml", RECIPES[name])
    assert read_recipe(tmp_path / "my.toml", RECIPES).to_json() == RECIPES[name].to_json()


def test_how_many_frames_become_tokens_is_part_of_a_written_recipe(tmp_path: Path) -> None:
    write_recipe(tmp_path / "my.toml", dataclasses.replace(RECIPES["pong"], tokenize={"max_frames": 1000}))
    assert read_recipe(tmp_path / "my.toml", RECIPES).tokenize == {"max_frames": 1000}
