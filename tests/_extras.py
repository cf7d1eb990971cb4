"""Find the files that import more than the extra of pyproject.toml for their room installs.

An extra installs its packages and those of the extras that it names, and no others. So a room may
import these packages, and the rooms of these extras. It reaches anything beyond them at a door: a
place that is named here, where the import waits until a user asks for it.
"""

import re
import sys
import tomllib
from collections.abc import Iterator

from _architecture import Import, Source, Tree

# The extra of each room, and of the files in a room that need more; "" is the package alone.
ROOMS = {
    "__init__": "",
    "core": "",
    "engines": "",
    "engines/torch": "torch",
    "numpy": "",
    "torch": "torch",
    "injection": "",
    "prediction": "",
    "pictures": "",
    "loops": "",
    "accelerate": "accelerate",
    "lightning": "lightning",
    "skorch": "skorch",
    "transformers": "transformers",
    "nets": "torch",
    "estimators": "estimators",
    "study": "study",
    "tune": "tune",
    "cli": "",
}

# What is reached lazily, and where: packages, and rooms with a slash at their end.
DOORS = {
    "__init__": {
        *("accelerate/", "estimators/", "lightning/", "nets/", "skorch/", "study/", "torch/"),
        *("transformers/", "tune/"),
    },
    "injection/report": {"rich"},
    "prediction": {"matplotlib", "rich"},
    "pictures": {"matplotlib"},
    "estimators": {"matplotlib"},
    "study/data/formats": {"pyarrow"},
    "cli": {"study/", "tune/"},
}

# What Python calls the packages that pip knows by another name, and those that come with one.
IMPORTED = {
    "optuna": {"optuna", "sqlalchemy"},
    "pyyaml": {"yaml"},
    "scikit-learn": {"sklearn"},
}


def extras(pyproject: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return of each extra, "" included, the extras that it has and the packages of them all."""
    project = tomllib.loads(pyproject)["project"]
    asked = {"": project["dependencies"], **project["optional-dependencies"]}
    del asked["dev"]  # for those who work on the package, and no room's
    return {extra: _with_others(extra, asked) for extra in asked}


def _with_others(extra: str, asked: dict[str, list[str]]) -> tuple[set[str], set[str]]:
    found, packages = {"", extra}, set[str]()
    for each in dict.fromkeys(("", extra)):
        for requirement in asked[each]:
            name = re.split(r"[\[<>=!~; ]", requirement)[0]
            if name == "noisegate":
                others = _with_others(requirement[len("noisegate[") : -1], asked)
                found, packages = found | others[0], packages | others[1]
            else:
                packages |= IMPORTED.get(name, {name})
    return found, packages


def beyond(tree: Tree, pyproject: str) -> list[str]:
    """Return a sentence for each import that the extra of its file does not bring."""
    known = extras(pyproject)
    found = [sentence for source in tree.sources for sentence in _beyond(tree, source, known)]
    return list(dict.fromkeys(found))


def _beyond(
    tree: Tree, source: Source, known: dict[str, tuple[set[str], set[str]]]
) -> Iterator[str]:
    here = _nearest(source.path, ROOMS)
    if here is None or ROOMS[here] not in known:
        yield f"`{source.path}` belongs to no extra: give its room one in the test"
        return
    has, packages = known[ROOMS[here]]
    for found in tree.imports(source):
        target = tree.source(found.module)
        if target is not None:
            room = _nearest(target.path, ROOMS)
            if room is None or ROOMS[room] in has:
                continue
            name, extra = f"{room}/", ROOMS[room]
        else:
            name = found.module.partition(".")[0]
            if not name or name in packages or name in sys.stdlib_module_names:
                continue
            extra = next((each for each in known if name in known[each][1]), None)
        reason = _reason(source, found, name, extra)
        if reason:
            yield f"`{source.path}` (extra `{ROOMS[here]}`) imports `{name}` ({reason})"


def _reason(source: Source, found: Import, name: str, extra: str | None) -> str | None:
    if extra is None:
        return "no extra brings it"
    door = _nearest(source.path, DOORS)
    if door is None or name not in DOORS[door]:
        return f"the extra `{extra}` brings it"
    return None if found.lazy else f"the extra `{extra}` brings it, and this door is lazy"


def _nearest(path: str, rooms: dict[str, object]) -> str | None:
    """Return the longest of some rooms and files that a path lies in, or None."""
    parts = path.removesuffix(".py").split("/")
    above = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((each for each in above if each in rooms), None)
