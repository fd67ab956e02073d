"""The cache of kernels knows of every file that holds a piece of one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from models.compiled import sources, sources_digest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("connectors", "detector", "models")


def imports_a_compiler(path: Path) -> bool:
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return any(node.module == "models.compiled" for node in found)


def test_every_file_that_compiles_is_counted() -> None:
    compiling = {
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if imports_a_compiler(path)
    }
    assert len(compiling) > 15
    assert compiling <= set(sources(ROOT))


@pytest.mark.parametrize("path", [path.relative_to(ROOT) for path in sources(ROOT)], ids=str)
def test_an_edit_of_any_of_them_gives_another_cache(path: Path, tmp_path: Path) -> None:
    for source in sources(ROOT):
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    before = sources_digest(tmp_path)
    assert before == sources_digest(ROOT)
    with (tmp_path / path).open("a") as file:
        file.write("# edited\n")
    assert sources_digest(tmp_path) != before
