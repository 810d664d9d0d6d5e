"""The oracle stands alone: it can only judge the bus if it shares none of its code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ORACLE = Path(__file__).parent
MODULES = sorted(path.stem for path in ORACLE.glob("*.py") if not path.stem.startswith(("__", "test_")))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ORACLE.parent)},
        cwd=ORACLE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_import_linter_holds_that_the_oracle_imports_nothing_of_govbus() -> None:
    """The contract in importlinter.ini is kept."""
    lint = run(str(Path(sys.executable).with_name("lint-imports")), "--config", "importlinter.ini", "--no-cache")
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "1 kept, 0 broken" in lint.stdout


def test_nothing_of_govbus_is_loaded_with_the_oracle() -> None:
    """Importing every module of the oracle loads no module of govbus."""
    assert {"avro", "cities", "comparators", "crosschecks", "generate", "masks", "policies", "views", "wire"} <= set(
        MODULES
    )
    imports = "; ".join(f"import oracle.{name}" for name in MODULES)
    loaded = run(
        sys.executable, "-c", f"import sys; {imports}; print([m for m in sys.modules if m.startswith('govbus')])"
    )
    assert loaded.stdout.strip() == "[]", loaded.stdout + loaded.stderr
