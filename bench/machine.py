"""Facts about the machine, and whether torch draws its dropout in one thread there."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import noisegate as ng
from noisegate.engines import native


def facts() -> dict[str, Any]:
    """Return the machine, its load, the engine and the versions, ready for JSON."""
    model, vendor = _processor()
    serial, why = serial_path(vendor)
    library = native.load_library()
    return {
        "processor": model,
        "vendor": vendor,
        "cores": _cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "noisegate": ng.__version__,
        "engine": "pure" if library is None else f"native, {library.instruction_set()}",
        "engine_threads": None if library is None else library.threads(),
        "huge_pages": _huge_pages(),
        "load": load(),
        "date": datetime.now(UTC).date().isoformat(),
        "torch_serial_path": serial,
        "torch_serial_path_because": why,
    }


def load() -> float | None:
    """Return how many processes wanted a core in the last minute, if the system reports it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def serial_path(vendor: str | None) -> tuple[bool | None, str]:
    """Return whether `F.dropout` draws its mask serially, None if unknown, and the reason.

    torch draws with MKL, in parallel, if it was built with MKL and the processor's vendor is Intel;
    otherwise with one Mersenne Twister behind a lock (`bernoulli_scalar_kernel` in
    ATen's `native/cpu/DistributionKernels.cpp`).
    """
    if not torch.backends.mkl.is_available():
        return True, "torch was built without MKL"
    if vendor is None:
        return None, "torch was built with MKL, and who made the processor is not known"
    if vendor == "GenuineIntel":
        return False, "torch was built with MKL, and the processor is Intel's"
    return True, f"torch uses MKL's generator on Intel's processors only, and this is {vendor}"


def _huge_pages() -> str | None:
    """Return the system's setting of huge pages: always, on request (madvise), or never."""
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text("utf-8")
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0]


def _processor() -> tuple[str, str | None]:
    """Return the processor's name and the identification of its vendor."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        name = platform.processor() or platform.machine()
        # Windows ends its text with the vendor; macOS says only "arm" or "i386".
        last = name.rpartition(" ")[2]
        return name, last if last in ("GenuineIntel", "AuthenticAMD") else _vendor_of_architecture()
    lines = (line.partition(":") for line in text.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    name = fields.get("model name", platform.machine())
    return name, fields.get("vendor_id") or _vendor_of_architecture()


def _vendor_of_architecture() -> str | None:
    return "ARM" if platform.machine().lower() in ("arm64", "aarch64") else None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
