"""Where the measured arrays of the authors' code lie: tests/golden, or the directory named by CONTEXTLOC_GOLDEN."""

import os
from pathlib import Path

from tests.helpers.paths import ROOT

GOLDEN = Path(os.environ.get("CONTEXTLOC_GOLDEN") or ROOT / "tests" / "golden")
