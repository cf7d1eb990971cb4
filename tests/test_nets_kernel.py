"""The kernel of networks imports no layer, regularizer, activation, initializer or penalty."""

from pathlib import Path

import pytest

from _architecture import Tree
from _house import imports_within_rooms

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "noisegate"
LEAVES = (
    "nets/layers/",
    "nets/regularizers/",
    "nets/activations.py",
    "nets/initializers.py",
    "nets/penalties.py",
)


def upward(tree: Tree) -> set[tuple[str, str]]:
    """Return the imports of leaves by files of the kernel; the table of contents has all."""
    return {
        (path, target)
        for path, targets in imports_within_rooms(tree).items()
        if path.startswith("nets/") and not path.startswith((*LEAVES, "nets/__init__.py"))
        for target in targets
        if target.startswith(LEAVES)
    }


def test_the_kernel_imports_no_leaf() -> None:
    tree = Tree(PACKAGE)
    files = {source.path for source in tree.sources}
    assert all(any(path.startswith(leaf) for path in files) for leaf in LEAVES)
    assert upward(tree) == set()


@pytest.mark.parametrize(
    "text", ["from .layers import Dense\n", "def f():\n    from . import penalties\n"]
)
def test_an_import_of_a_leaf_is_caught(tmp_path: Path, text: str) -> None:
    for path in ("nets/layers/__init__.py", "nets/penalties.py", "nets/__init__.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "nets/layer.py").write_text(text)
    assert {path for path, _ in upward(Tree(tmp_path))} == {"nets/layer.py"}
