"""The curation page in a process of its own, that can be killed: ``python -m tests.web.server HOME PORT CURATOR``."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from miniscope_core.web import serve
from tests.archives import settings_for

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Serve what is below a folder; print the address once it can be asked."""
    home, port, curator = sys.argv[1:4]
    token = sys.argv[4] if len(sys.argv) > 4 else None
    serve(
        settings_for(Path(home)),
        curator=curator,
        port=int(port),
        token=token,
        on_ready=lambda address: print(address, flush=True),
    )


@contextlib.contextmanager
def serving(
    home: Path, port: int = 0, curator: str = "Ada", token: str | None = None
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run the page until the block ends; give its address and its process."""
    command = [sys.executable, "-m", "tests.web.server", str(home), str(port), curator, *([token] if token else [])]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the page's server ended with {process.wait()}")
        yield address, process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    main()
