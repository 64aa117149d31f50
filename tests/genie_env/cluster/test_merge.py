"""Information of groups of rows becomes that of one vector environment."""

from __future__ import annotations

import numpy as np

from genie_env.cluster.merge import merged_infos


def test_names_that_some_groups_lack_are_empty_in_their_rows() -> None:
    final = np.array([np.arange(2), None], dtype=object)
    first = {"step": np.array([3, 4]), "final_obs": final, "final_info": {"step": np.array([3, 0])}}
    merged = merged_infos([first, {"step": np.array([5])}, None], [2, 1, 1])
    assert merged["step"].tolist() == [3, 4, 5, 0] and merged["final_info"]["step"].tolist() == [3, 0, 0, 0]
    assert merged["final_obs"][0].tolist() == [0, 1] and merged["final_obs"][1:].tolist() == [None] * 3
    assert merged_infos([None, None], [1, 1]) == {}


def test_final_observations_can_be_written() -> None:
    locked = np.arange(2)
    locked.setflags(write=False)
    final = np.array([locked, None], dtype=object)
    assert merged_infos([{"final_obs": final}], [2])["final_obs"][0].flags.writeable
