"""Check the imports and the sizes of a source tree, and report in sentences what breaks the plan.

The plan is the table of floors in `docs/architecture.md`: a file imports only from lower floors,
and rooms of one floor never import each other.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60

FLOORS = {
    "core": 1,
    "engines": 2,
    "numpy": 3,
    "torch": 3,
    "jax": 3,
    "keras": 3,
    "injection": 4,
    "__init__": 4,
    "prediction": 5,
    "loops": 5,
    "accelerate": 6,
    "lightning": 6,
    "skorch": 6,
    "transformers": 6,
    "nets": 6,
    "pictures": 6,
    "estimators": 7,
    "study": 8,
    "tune": 9,
    "cli": 10,
    "__main__": 10,
}
FACES = {name for name, floor in FLOORS.items() if floor == 3}
# The table of contents may be used from here upwards, and brings in nothing from here upwards.
OUTSIDE = 8

# The reference for every other language, to be read and copied by itself.
LONER = "core/philox.py"
ALONE = "it imports nothing at all"

# Where a name that is computed may be imported: what it is, no reading of the file can tell.
DOORS = {
    "__init__.py",
    "core/backends.py",
    "study/__init__.py",
    "study/models.py",
    "tune/__init__.py",
}

# What each room may bring in beside the standard library. An engine may import the library that
# it is named after, and the files that the engines share may import none.
PACKAGES = {
    "core": set(),
    "engines/numpy": {"numpy"},
    "engines/torch": {"torch"},
    "engines/jax": {"jax"},
    "numpy": {"numpy"},
    "torch": {"numpy", "torch"},
    "jax": {"numpy", "jax"},
    "keras": {"numpy", "keras"},
    "injection": {"numpy", "rich"},
    "prediction": {"matplotlib", "numpy", "rich"},
    "nets": {"numpy", "safetensors", "torch"},
    "estimators": {"matplotlib", "numpy", "sklearn", "skorch", "torch"},
    "loops": set(),
    "accelerate": {"accelerate"},
    "lightning": {"lightning"},
    "skorch": {"skorch"},
    "transformers": {"transformers"},
    "__init__": {"numpy"},
    "pictures": {"matplotlib", "numpy"},
    "study": {
        "jinja2",
        "matplotlib",
        "numpy",
        "pandas",
        "pyarrow",
        "rich",
        "safetensors",
        "scipy",
        "sklearn",
        "skops",
        "torch",
        "yaml",
    },
    "tune": {"matplotlib", "numpy", "optuna", "sqlalchemy", "torch"},
    "cli": {"rich"},
}
WHAT = {
    "cupy": "a framework",
    "flax": "a framework",
    "jax": "a framework",
    "keras": "a framework",
    "matplotlib": "only `prediction/`, `estimators/`, `study/`, `tune/` and `pictures.py` draw",
    "mlx": "a framework",
    "numpy": "an array library",
    "tensorflow": "a framework",
    "torch": "a framework",
}


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, and whether it waits for a function to be called.

    The name is empty where it is computed.
    """

    module: str
    lazy: bool


@dataclass(frozen=True)
class Source:
    """One file of the package, by its path below the package's folder."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str:
        parts = ["noisegate", *self.path.removesuffix(".py").split("/")]
        return ".".join(parts).removesuffix(".__init__")

    @property
    def room(self) -> str:
        """The folder or file that may know itself; an engine's file is a room of its own."""
        parts = self.path.removesuffix(".py").split("/")
        if parts[0] == "engines" and len(parts) > 1 and f"engines/{parts[1]}" in PACKAGES:
            return f"engines/{parts[1]}"
        return parts[0]

    @property
    def floor(self) -> int | None:
        return FLOORS.get(self.room.split("/")[0])


class Tree:
    """The sources of one package."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.rglob("*.py"))
        self.sources = [
            Source(path.relative_to(folder).as_posix(), path.read_text("utf-8")) for path in paths
        ]
        self._by_module = {source.module: source for source in self.sources}

    def faults(self) -> list[str]:
        """Return a sentence for each thing that breaks the plan, without repeats."""
        sentences = [sentence for source in self.sources for sentence in self._faults(source)]
        return list(dict.fromkeys(sentences))

    def source(self, module: str) -> Source | None:
        """Return the file of a module of the package; None for others."""
        return self._by_module.get(module)

    def _faults(self, source: Source) -> Iterator[str]:
        if source.floor is None:
            where = "`docs/architecture.md` and in the test"
            yield f"`{source.path}` has no floor: give it one in {where}"
            return
        for found in self.imports(source):
            if not found.module:
                if source.path not in DOORS:
                    yield f"`{source.path}` (floor {source.floor}) imports a computed name"
                continue
            target = self.source(found.module)
            if target is not None:
                reason = _internal_fault(source, target, found.lazy)
                name = target.path
            else:
                name = found.module.split(".")[0]
                reason = _external_fault(source, name)
            if reason:
                yield f"`{source.path}` (floor {source.floor}) imports `{name}` ({reason})"

    def imports(self, source: Source) -> Iterator[Import]:
        """Yield every import of a file, those for type checkers and by a literal name included."""
        for node, lazy in _walk(source.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(self._known(alias.name), lazy)
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(source, node.module, node.level)
                for alias in node.names:
                    name = f"{base}.{alias.name}"
                    yield Import(name if name in self._by_module else self._known(base), lazy)
            elif isinstance(node, ast.Call):
                name = _name_to_import(node)
                if name is not None:
                    level = len(name) - len(name.lstrip("."))
                    yield Import(self._known(_absolute(source, name[level:], level)), lazy)

    def _known(self, name: str) -> str:
        """Cut a dotted name of the package back to a file that exists."""
        while name.startswith("noisegate.") and name not in self._by_module:
            name = name.rpartition(".")[0]
        return name


def oversized(path: str, text: str) -> list[str]:
    """Return a sentence for the file and for each function that is longer than its cap."""
    lines = len(text.splitlines())
    found = [f"`{path}` has {lines} lines: at most {FILE_LINES}"] if lines > FILE_LINES else []
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = _length(node)
            if length > FUNCTION_LINES:
                found.append(
                    f"`{node.name}` in `{path}` has {length} lines without its docstring: "
                    f"at most {FUNCTION_LINES}"
                )
    return found


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def _internal_fault(source: Source, target: Source, lazy: bool) -> str | None:
    """Say why one file of the package may not import another."""
    if source.path == LONER:
        return ALONE
    if target.floor is None or target.room == source.room:
        return None
    assert source.floor is not None
    if target.room == "__init__":
        outside = source.floor >= OUTSIDE
        return None if outside else "the table of contents, which gathers what stands below it"
    if source.room == "__init__":
        waits = target.room in FACES or target.floor >= OUTSIDE
        return "not lazily" if waits and not lazy else None
    if target.floor != source.floor:
        return f"floor {target.floor}" if target.floor > source.floor else None
    if target.room == "engines":
        return None  # what the engines share
    if source.path == "engines/__init__.py" and lazy:
        return None  # the door, which knows each engine once it is asked for it
    return "a sibling"


def _external_fault(source: Source, name: str) -> str | None:
    """Say why a file may not import a package from outside."""
    if source.path == LONER:
        return None if name == "__future__" else ALONE
    if name in sys.stdlib_module_names or name in PACKAGES.get(source.room, set()):
        return None
    return WHAT.get(name, "a package that this room does without")


def _absolute(source: Source, module: str | None, level: int) -> str:
    """Return the dotted name that a relative import means."""
    if level == 0:
        return module or ""
    folder = ["noisegate", *source.path.split("/")[:-1]]
    return ".".join(folder[: len(folder) - (level - 1)] + ([module] if module else []))


def _name_to_import(call: ast.Call) -> str | None:
    """Return the name that `import_module` or `__import__` is called with; "" if computed."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    if name not in ("import_module", "__import__"):
        return None
    literal = call.args[0] if call.args else None
    known = isinstance(literal, ast.Constant) and isinstance(literal.value, str)
    return literal.value if known else ""


def _walk(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node below, and whether it waits for a function or is for type checkers."""
    lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    typing_only = node.body if isinstance(node, ast.If) and _asks_for_types(node.test) else []
    for child in ast.iter_child_nodes(node):
        waits = lazy or child in typing_only
        yield child, waits
        yield from _walk(child, waits)


def _asks_for_types(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
