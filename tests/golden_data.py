"""Where the measured arrays of the authors' code lie: tests/golden, or the directory named by CONTEXTLOC_GOLDEN."""

import os
from pathlib import Path

GOLDEN = Path(os.environ.get("CONTEXTLOC_GOLDEN") or Path(__file__).parent / "golden")
