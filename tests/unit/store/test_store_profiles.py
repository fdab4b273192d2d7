"""Profiles on disk: private, whole or not at all, and nothing but what was saved is read."""

import os
import stat

import pytest
from msgspec.structs import replace

from gpualloc.errors import BrokenInputError, NotFoundError, StateError, UsageError
from gpualloc.policies.profile import Profile, write_profile
from gpualloc.store.profiles import SavedProfiles

NIGHT = Profile("night", "pack", {"a": 1.0}, made={"at": "now"})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "profiles"


@pytest.fixture
def profiles(folder):
    return SavedProfiles(folder)


def test_a_profile_comes_back(profiles, folder):
    assert profiles.names() == ()
    path = profiles.save(NIGHT, replace=False)
    assert profiles.read("night") == NIGHT
    assert (profiles.names(), path) == (("night",), folder / "night.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["night.json"]


def test_only_what_is_to_be_replaced_is(profiles):
    profiles.save(NIGHT, replace=False)
    other = replace(NIGHT, weights={"a": 2.0})
    for refuse in (profiles.check_free, lambda _, replace: profiles.save(other, replace=replace)):
        with pytest.raises(UsageError, match="there is a profile 'night' already"):
            refuse("night", replace=False)
    assert profiles.read("night") == NIGHT
    profiles.check_free("night", replace=True)
    profiles.save(other, replace=True)
    assert profiles.read("night") == other


@pytest.mark.parametrize("name", ["", "..", ".night", "a/b", "../night", "n" * 65, "a\nb", "ä"])
def test_what_is_no_name_reaches_no_path(profiles, name):
    for ask in (profiles.read, profiles.path, lambda name: profiles.check_free(name, replace=True)):
        with pytest.raises(UsageError, match="is no name of a profile"):
            ask(name)


def test_a_missing_profile_is_told_with_the_nearest(profiles, folder):
    profiles.save(NIGHT, replace=False)
    with pytest.raises(NotFoundError, match="no policy profile 'nigth' in") as refused:
        profiles.read("nigth")
    assert refused.value.hint == "did you mean night?"
    assert str(folder) in refused.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a profile"),
        (b"\xff", "not UTF-8"),
        (write_profile(NIGHT).encode()[:-20], "not a profile"),
        (b" " * (1 << 21), "too large"),
        (write_profile(replace(NIGHT, name="day")).encode(), "the profile calls itself day"),
    ],
    ids=["empty", "bytes", "cut off", "large", "another"],
)
def test_a_broken_profile_is_refused_by_its_path(profiles, folder, content, message):
    profiles.save(NIGHT, replace=False)
    (folder / "night.json").write_bytes(content)
    with pytest.raises(BrokenInputError, match=message) as refused:
        profiles.read("night")
    assert refused.value.message.startswith(str(folder / "night.json"))


def test_what_is_no_file_holds_nothing_up(profiles, folder):
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(BrokenInputError, match=rf"{name}\.json"):
            profiles.read(name)


def test_what_is_no_profile_is_not_listed(profiles, folder):
    profiles.save(NIGHT, replace=False)
    for name in (".night.json.0123abcd", ".json", "a b.json", "notes.txt"):
        (folder / name).write_text("")
    assert profiles.names() == ("night",)


def test_a_save_that_fails_leaves_the_old_one_and_nothing_else(profiles, folder, monkeypatch):
    profiles.save(NIGHT, replace=False)

    def interrupted(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        profiles.save(replace(NIGHT, weights={"a": 2.0}), replace=True)
    assert profiles.read("night") == NIGHT
    assert os.listdir(folder) == ["night.json"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    profiles = SavedProfiles(tmp_path / "file" / "profiles")
    with pytest.raises(StateError, match="the profile cannot be written to"):
        profiles.save(NIGHT, replace=False)
    with pytest.raises(StateError, match="cannot be listed"):
        profiles.names()
