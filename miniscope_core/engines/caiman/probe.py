"""Tell what a Python has of CaImAn, as one line of JSON: ``python probe.py``.

Run by its path in another environment; it imports the standard library alone, and of the rest it reads only what the
package index knows: importing CaImAn takes many seconds.
"""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

PACKAGES = (
    *("caiman", "numpy", "scipy", "h5py", "setuptools", "opencv-python", "opencv-python-headless"),
    *("tensorflow", "torch", "psutil"),
)


def main() -> None:
    """Print versions, and whether the package called caiman is the one for calcium imaging."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [one for one in sys.path if os.path.abspath(one or ".") != here]
    found = {}
    for name in PACKAGES:
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
    spec = find_spec("caiman")
    folders = list(spec.submodule_search_locations or []) if spec else []
    report = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": {name: one.version for name, one in found.items()},
        "summary": str(found["caiman"].metadata["Summary"] or "") if "caiman" in found else "",
        "importable": spec is not None,
        "genuine": any(os.path.isdir(os.path.join(folder, "source_extraction")) for folder in folders),
        "modules": {name: find_spec(name) is not None for name in ("h5py", "cv2", "pkg_resources")},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
