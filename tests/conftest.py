from __future__ import annotations

import sys
from pathlib import Path

# importlib mode puts no folder of tests on the path: what the tests here share is imported by name.
sys.path.insert(0, str(Path(__file__).parent))
