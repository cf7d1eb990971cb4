"""The versions that a study's numbers may depend on."""

import platform
from importlib.metadata import version

import noisegate

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on, and the kind of machine."""
    return {
        "noisegate": noisegate.__version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
    }
