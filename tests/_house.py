"""What keeps the house light, beside its floors: each rule names what breaks it.

A rule returns a dict: the place, which is a file, or a function of a room, and its sentence.
"""

import ast
import re
from collections import deque
from collections.abc import Iterator, Mapping

from _architecture import FLOORS, Source, Tree

PARAMETERS = 8

# The one circle, by the import that closes it: `Layer >> Layer` makes a Network of layers.
CLOSES = ("nets/joinable.py", "nets/joining.py")

# File names that rooms share on purpose, since these files are the same thing in each.
SHARED = {
    *("__init__", "functional", "layers"),  # the faces
    *("numpy", "torch", "jax", "keras"),  # engines, and what a room has for one library
    *("old_words", "plots"),  # what a room was called, what it draws
}

# Functions and classes of one name in several files, since each is the same thing in its place.
ALIKE = {
    *("add", "execute"),  # of each subcommand
    *("load", "save"),  # of a network, and of a study
    "apply",  # of core, and of the face of NumPy
    *("ConcreteDropout", "GaussianNoise"),  # a kind, and torch's layer or the regularizer of it
    "NoiseCallback",  # of each library that trains
    "from_config",  # of a kind, an axis, a schedule, a network
}


# Signatures that users read: each argument is a choice of theirs.
PUBLIC = {
    "estimators: fit",
    "injection: inject",
    "prediction: predict",
    "study: run",
    "tune: tune",
}

# Faces that are to come cost what they cost.
NOT_COUNTED = {"jax", "keras"}

Faults = dict[str, str]


def circles(tree: Tree) -> Faults:
    """Return the files of a room that import each other in a circle, lazily and for types too."""
    graph = imports_within_rooms(tree)
    lower, upper = CLOSES
    graph[lower] = [path for path in graph.get(lower, []) if path != upper]
    found: Faults = {}
    for path in graph:
        way = _way_back(path, graph)
        if way:
            first = way.index(min(way))
            around = [f"`{each}`" for each in (*way[first:], *way[:first], way[first])]
            found[path] = (
                f"{around[0]} imports {', which imports '.join(around[1:])}: a circle. Move what "
                "both need into a lower file, or have the lower one ask for a Protocol"
            )
    return found


def crowded(tree: Tree) -> Faults:
    """Return the functions that take more arguments than a reader can hold."""
    found: Faults = {}
    for source, name, function in functions(tree):
        count = len(_parameters(function))
        place = f"{source.room}: {name}"
        if count > PARAMETERS and place not in PUBLIC:
            found[place] = (
                f"`{name}` in `{source.path}` takes {count} arguments: at most {PARAMETERS}. Give "
                "it a record of those that go together, or let it do less"
            )
    return found


def speakers(tree: Tree) -> Faults:
    """Return the files with functions that are told who asks."""
    found: Faults = {}
    for source, name, function in functions(tree):
        if "who" in _parameters(function):
            found.setdefault(
                source.path,
                f"`{name}` in `{source.path}` takes `who`: raise without it, and let the caller "
                "put its name in front, by `prefix_errors`",
            )
    return found


def outspoken(tree: Tree) -> Faults:
    """Return the files of the core whose errors name what was called on a higher floor."""
    names: dict[bool, set[str]] = {True: set(), False: {"noisegate", *FLOORS} - {"core"}}
    for source in tree.sources:
        defined = (each.name for each in source.tree.body if isinstance(each, Named))
        names[source.room == "core"].update(defined)
    above = names[False] - names[True]
    return {
        source.path: (
            f'`{source.path}` says "{name}: ", the name of something above it: raise without it, '
            "and let the room above put its name in front, by `prefix_errors`"
        )
        for source in tree.sources
        for name in _leading_names(source)
        if source.room == "core" and name.partition(".")[0] in above
    }


def banished(tree: Tree) -> Faults:
    """Return the modules of messages, which keep sentences from where they are raised."""
    return {
        source.path: f"`{source.path}`: write each sentence where it is raised, not in `messages`"
        for source in tree.sources
        if "messages" in source.module.split(".")
    }


def namesakes(tree: Tree) -> Faults:
    """Return the files, functions and classes with the name of another.

    Methods are not meant, nor what a file makes inside an `if`.
    """
    files: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for source in tree.sources:
        file = source.path.removesuffix(".py").split("/")[-1]
        if file not in SHARED:
            files.setdefault(file, []).append(source.path)
        for name in list_names(source) - ALIKE:
            names.setdefault(name, []).append(source.path)
    found: Faults = {}
    for paths in files.values():
        if len(paths) > 1:
            words = " and ".join(f"`{path}`" for path in paths)
            found |= dict.fromkeys(paths, f"{words} have one name: say in each what it is of")
    for name, paths in names.items():
        if len(paths) > 1:
            words = " and ".join(f"`{path}`" for path in paths)
            found[name] = f"`{name}` is made in {words}: one name, one thing. Rename one of them"
    return found


def list_names(source: Source) -> set[str]:
    """Return the names of a file's own functions and classes, dunder names left out."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = (node.name for node in source.tree.body if isinstance(node, kinds))
    return {name for name in defined if not name.startswith("__")}


RULES = {
    rule.__name__: rule for rule in (circles, crowded, speakers, outspoken, banished, namesakes)
}


def over_budget(tree: Tree, page: str) -> list[str]:
    """Return a sentence for each part of the package that is larger than its page says."""
    return [
        f"{words} {'has' if len(rooms) == 1 else 'have'} {lines:,} lines, and "
        f"`docs/architecture.md` gives {most:,}, so that a newcomer can read it. Look for what "
        f"exists twice, and for what belongs elsewhere; the largest files are "
        f"{', '.join(largest)}. If neither helps, raise the number there and say why"
        for words, rooms, most in budgets(page)
        for lines, largest in [_count(tree, rooms)]
        if lines > most
    ]


def budgets(page: str) -> Iterator[tuple[str, set[str], int]]:
    """Yield the rows of the table of budgets: its words, the rooms, the most lines."""
    for words, lines in re.findall(r"^\| (.+?) \| ([\d,]+) lines \|", page, flags=re.MULTILINE):
        yield words, set(re.findall(r"`(\w+)/`", words)), int(lines.replace(",", ""))


def _count(tree: Tree, rooms: set[str]) -> tuple[int, list[str]]:
    """Return the lines of some rooms, of all where none is named, and their three largest files."""
    sizes = {
        source.path: len(source.text.splitlines())
        for source in tree.sources
        for room in [source.path.removesuffix(".py").split("/")[0]]
        if room not in NOT_COUNTED and (room in rooms or not rooms)
    }
    largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
    return sum(sizes.values()), [f"`{path}`" for path in largest]


def imports_within_rooms(tree: Tree) -> dict[str, list[str]]:
    """Return which files of its own room each file imports."""
    graph: dict[str, list[str]] = {}
    for source in tree.sources:
        targets = (tree.source(each.module) for each in tree.imports(source))
        paths = [t.path for t in targets if t and t.room == source.room and t is not source]
        graph[source.path] = list(dict.fromkeys(paths))
    return graph


def _way_back(start: str, graph: Mapping[str, list[str]]) -> list[str] | None:
    """Return the files of the shortest circle through one, in order; None if there is none."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        path = queue.popleft()
        if start in graph[path]:
            way = [path]
            while way[-1] != start:
                way.append(came_from[way[-1]])
            return way[::-1]
        for target in graph[path]:
            if target not in came_from:
                came_from[target] = path
                queue.append(target)
    return None


def _leading_names(source: Source) -> Iterator[str]:
    """Yield the name before the colon of each text, and those that errors are prefixed with."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            start = re.match(r"([\w.]+): ", node.value)
            if start:
                yield start[1]
        elif isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "attr", None) or getattr(function, "id", None)
            first = node.args[0] if node.args else None
            if called in ("prefix", "prefix_errors") and isinstance(first, ast.Constant):
                yield first.value


Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def functions(tree: Tree) -> Iterator[tuple[Source, str, Function]]:
    """Yield every function with its file, and its name in it."""
    for source in tree.sources:
        for name, function in _below(source.tree, ""):
            yield source, name, function


def _below(node: ast.AST, name: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        own = getattr(child, "name", "") if isinstance(child, Function | ast.ClassDef) else ""
        own = "lambda" if isinstance(child, ast.Lambda) else own
        inner = ".".join(part for part in (name, own) if part)
        if isinstance(child, Function):
            yield inner, child
        yield from _below(child, inner)


def _parameters(function: Function) -> list[str]:
    """Return the names of a function's arguments; those without a name of their own left out."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]
