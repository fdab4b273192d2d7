"""Profiles as text, what is refused in them, and policies that decide by them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.errors import BrokenInputError, ConfigError
from gpualloc.policies.evolved import AS_PACK, Evolved, content_of_expressions
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.pack import Pack
from gpualloc.policies.profile import MAX_PROFILE_BYTES, MAX_WEIGHT, Profile, profiled, read_profile, write_profile
from gpualloc.policies.weights import DEFAULT, profile_of, weights_of

NIGHT = Profile("night", "pack", weights_of(DEFAULT), made={"command": "gpualloc tune", "scores": [1, None]})
ODD = Profile("odd", "evolved", expressions=content_of_expressions(AS_PACK))


def changed(**keys):
    body = {**json.loads(write_profile(NIGHT)), **keys}
    return json.dumps({key: value for key, value in body.items() if value is not ...})


@pytest.mark.parametrize("profile", [NIGHT, ODD], ids=lambda profile: profile.name)
def test_a_profile_comes_back_as_it_was(profile):
    assert read_profile(write_profile(profile), "f") == profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: not a profile"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "f: not a profile"),
        ("x" * (MAX_PROFILE_BYTES + 1), "too large"),
        ('{"format": 1, "format": 1}', "twice"),
        (changed(format=2), "not a profile of format 1"),
        (changed(format=True), "not a profile of format 1"),
        (changed(colour="red"), "'colour' does not belong there"),
        (changed(made=...), "made is missing"),
        (changed(made=[]), "made is not an object"),
        (changed(name="../night"), "name is not a name"),
        (changed(name=""), "name is not a name"),
        (changed(name="n" * 65), "name is not a name"),
        (changed(policy=5), "policy is not a name"),
        (changed(weights=...), "either weights or expressions"),
        (changed(expressions={"gpu": 1}), "either weights or expressions"),
        (changed(weights={}), "weights is not an object"),
        (changed(weights={"a": "1"}), "the weight of 'a' is not a number"),
        (changed(weights={"a": True}), "the weight of 'a' is not a number"),
        (changed(weights={"a": None}), "the weight of 'a' is not a number"),
        (changed(weights={"a": 10**400}), "the weight of 'a' is not a number"),
        (changed(weights={"a": 2 * MAX_WEIGHT}), "the weight of 'a' is not a number"),
        (changed(weights={"a": float("nan")}), "NaN is no number"),
        (changed(weights={"a": float("inf")}), "Infinity is no number"),
        (changed(made={"at": "@"}).replace('"@"', "1e999"), "1e999 is too large"),
        (changed(weights=..., expressions=[]), "expressions is not an object"),
    ],
)
def test_what_is_no_profile_is_refused(text, message):
    with pytest.raises(BrokenInputError, match=r"^f: ") as refused:
        read_profile(text, "f")
    assert message in refused.value.message


@given(
    st.text(max_size=60) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps)
)
def test_any_text_is_a_profile_or_refused(text):
    with pytest.raises(BrokenInputError):
        read_profile(text, "f")


def test_the_digest_is_of_what_decides_alone():
    renamed = replace(NIGHT, name="day", made={})
    other = replace(NIGHT, weights={**NIGHT.weights, "gpu.regret": 1.0})
    assert renamed.digest == NIGHT.digest != other.digest
    assert (renamed.version("1"), NIGHT.version("1")) == (f"1+day.{NIGHT.digest}", f"1+night.{NIGHT.digest}")


def test_a_policy_says_by_what_it_decides():
    assert profiled(Pack(), NIGHT, "f").version == f"1+night.{NIGHT.digest}"
    assert profiled(Evolved(), ODD, "f").version == f"1+odd.{ODD.digest}"
    assert Pack().version == Evolved().version == "1"


def test_a_profile_of_another_policy_is_refused():
    with pytest.raises(ConfigError, match="f is a profile of the policy pack, not of evolved"):
        profiled(Evolved(), NIGHT, "f")
    with pytest.raises(ConfigError, match="the policy first-fit takes no profile"):
        profiled(FirstFit(), replace(NIGHT, policy="first-fit"), "f")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpu.regret": None}, "f: the weight 'gpu.regret' is missing"),
        ({"gpu.luck": 1.0}, "f: the weight 'gpu.luck' is not known"),
        ({"spare_cpu": 0.0}, "f: the weight 'spare_cpu' is 0"),
        ({"constants.sharpness": -1.0}, "f: the weight 'constants.sharpness' is -1"),
        ({"constants.supply": -0.5}, "f: the weight 'constants.supply' is -0.5"),
    ],
)
def test_weights_that_pack_cannot_decide_by_are_refused(changes, message):
    weights = {name: value for name, value in {**NIGHT.weights, **changes}.items() if value is not None}
    with pytest.raises(BrokenInputError) as refused:
        profiled(Pack(), replace(NIGHT, weights=weights), "f")
    assert refused.value.message.startswith(message)


def test_the_weights_of_pack_have_names():
    assert profile_of(weights_of(DEFAULT)) == DEFAULT
    assert len(weights_of(DEFAULT)) == 22


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        ({"gpu": "fall"}, "f: the expression 'cpu' is missing"),
        ({"gpu": "fall", "cpu": "fall", "tpu": "fall"}, "f: the expression 'tpu' is not known"),
        ({"gpu": "__import__('os')", "cpu": "fall"}, "f: gpu: no feature is called"),
    ],
)
def test_expressions_that_nothing_can_be_decided_by_are_refused(expressions, message):
    with pytest.raises(BrokenInputError) as refused:
        profiled(Evolved(), replace(ODD, expressions=expressions), "f")
    assert refused.value.message.startswith(message)


def test_a_profile_of_weights_is_none_of_expressions():
    with pytest.raises(BrokenInputError, match="the expression 'cpu' is missing"):
        profiled(Evolved(), replace(NIGHT, policy="evolved"), "f")
