"""Published timesteps, the indices the networks see, and their noise levels."""

import math

import numpy as np
import pytest

from invsr_core.schedule import (
    MAX_STEPS,
    START_TIMESTEP,
    model_timesteps,
    parse_timesteps,
    published_timesteps,
    sigmas_for,
    start_timestep,
)

GOLDEN_STEPS = [1, 2, 3, 4, 5, 6, 8, 10]


@pytest.mark.parametrize("steps", GOLDEN_STEPS)
def test_timesteps_and_sigmas_are_the_published_ones(steps, golden):
    expected = golden("schedule.json")[str(steps)]
    published = published_timesteps(steps)
    assert list(published) == expected["timesteps"]
    assert list(model_timesteps(published)) == expected["model_timesteps"]
    assert sigmas_for(published).tolist() == expected["sigmas"]


@pytest.mark.parametrize("steps", range(6, MAX_STEPS + 1))
def test_above_five_steps_timesteps_are_evenly_spaced_from_250(steps):
    # The authors' rule, as they write it.
    spaced = np.linspace(START_TIMESTEP, 0, steps, endpoint=False, dtype=np.int64)
    assert published_timesteps(steps) == tuple(spaced.tolist())


@pytest.mark.parametrize("steps", range(1, MAX_STEPS + 1))
def test_sigmas_of_every_step_count_fall_strictly_to_zero(steps):
    sigmas = sigmas_for(published_timesteps(steps))
    assert len(sigmas) == steps + 1
    assert (sigmas.diff() < 0).all()
    assert sigmas[-1] == 0


@pytest.mark.parametrize("steps", [-1, 0, 51])
def test_step_counts_out_of_range_are_refused(steps):
    with pytest.raises(ValueError, match=f"between 1 and 50, got {steps}"):
        published_timesteps(steps)


@pytest.mark.parametrize("text", ["250, 150, 50", "250,150,50", " 250 150  50 ", "250, 150, 50,"])
def test_a_users_schedule_is_read_with_commas_or_blanks(text):
    assert parse_timesteps(text) == (250, 150, 50)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("200, fast", "whole numbers such as '250, 150, 50', got '200, fast'"),
        ("200.5", "whole numbers"),
        ("100, 200", "must fall from step to step"),
        ("200, 100, 100", "without repeats"),
        ("251, 100", "start at 250 or below, got 251"),
        ("100, 0", "at least 1, got 0"),
        ("100, -5", "at least 1, got -5"),
        ("", "1 to 50 steps, got 0"),
        (" , ", "1 to 50 steps, got 0"),
        (", ".join(str(t) for t in range(51, 0, -1)), "1 to 50 steps, got 51"),
    ],
    ids=["text", "fraction", "rising", "double", "high", "0", "negative", "empty", "commas", "51"],
)
def test_a_schedule_that_breaks_a_rule_is_refused_by_name(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_timesteps(text)


def test_sigmas_are_refused_for_a_schedule_that_breaks_a_rule():
    with pytest.raises(ValueError, match="must fall from step to step"):
        sigmas_for((100, 200))


def test_the_start_timestep_is_read_off_every_trained_sigma():
    for index in range(START_TIMESTEP):
        assert start_timestep(float(sigmas_for([index + 1])[0])) == index


def test_a_start_sigma_above_the_highest_by_rounding_alone_is_taken():
    highest = float(sigmas_for([START_TIMESTEP])[0])
    assert start_timestep(highest * (1 + 0.9e-4)) == START_TIMESTEP - 1


@pytest.mark.parametrize("sigma", [0.0, -0.5, math.nan, math.inf, 0.6960, 14.6146])
def test_a_start_sigma_the_predictor_was_not_trained_for_is_refused(sigma):
    with pytest.raises(ValueError, match="published timestep 250"):
        start_timestep(sigma)
