"""Names of other systems: each room answers them with the new name."""

import re
from types import ModuleType

import pytest

import noisegate as ng
from noisegate.core.old_words import NAMES

ROOMS = (ng, ng.nets, ng.numpy, ng.torch)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
@pytest.mark.parametrize(("old", "new"), NAMES.items())
def test_an_old_name_is_answered_by_its_new_one(room: ModuleType, old: str, new: str) -> None:
    if old in dir(room):
        assert new.endswith(f".{old}"), "a name of today"
        return
    assert not hasattr(room, old)
    with pytest.raises(ng.MissingAttribute) as caught:
        getattr(room, old)
    home, _, short = new.partition(".")
    said = f"It is `noisegate.{new}` here."
    if room is getattr(ng, home):
        said = f"`{old}` is `{short}` here."
    assert str(caught.value) == f"{room.__name__} has no `{old}`. {said}"


@pytest.mark.parametrize(("old", "new"), NAMES.items())
def test_a_new_name_is_there(old: str, new: str) -> None:
    found = ng
    for name in re.match(r"[\w.]+", new)[0].split("."):
        if name in ("layers", "parameters", "state_dict", "load_state_dict"):
            break
        found = getattr(found, name)
    assert found is not ng


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_a_name_that_nobody_had_is_pythons_error(room: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"^module '{room.__name__}' has no attribute 'zzz'$"):
        getattr(room, "zz" + "z")
