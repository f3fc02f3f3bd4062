"""House rules that no linter knows; each failure says why."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "openldn"
MODULES = {p: ast.parse(p.read_text(encoding="utf-8")) for p in SOURCE.rglob("*.py")}
DOCUMENTS = [p for p in ROOT.rglob("*.md") if ".venv" not in p.parts and "var" not in p.parts]

BRITISH = r"(locali|authori|organi|pseudonymi)sation\w*|\bbehaviour\w*|\blicences?\b"
MISSPELT = r"localizaton|\brespone\b|respository|forbidded"
FORBIDDEN = re.compile(rf"{BRITISH}|{MISSPELT}", re.IGNORECASE)
EMPTY_NAMES = re.compile(r"(Manager|Helper|Util|Utils|Handler|Service)$")
BASE_FILES = {"__init__", "errors", "runtime", "settings", "sql", "http", "log", "postgres"}

# Where an exception may be caught broadly: the rim of every role.
RIMS = {"fhir/http.py"}


def short(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions() -> list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(p, n) for p, tree in MODULES.items() for n in ast.walk(tree) if isinstance(n, kinds)]


def test_no_function_outgrows_a_screen() -> None:
    long = [(short(p), f.name) for p, f in functions() if (f.end_lineno or 0) - f.lineno >= 50]
    assert not long, f"split these, so that each can be read at once: {long}"


def test_no_module_outgrows_its_subject() -> None:
    long = [short(p) for p in MODULES if len(p.read_text().splitlines()) > 400]
    assert not long, f"two subjects live here, give each a file: {long}"


def test_every_word_is_the_glossarys_word() -> None:
    texts = [*MODULES, *DOCUMENTS]
    found = [
        (p.name, m.group())
        for p in texts
        if p != Path(__file__)
        for m in FORBIDDEN.finditer(p.read_text(encoding="utf-8"))
    ]
    assert not found, f"write the American form (docs/reference/glossary.md): {found}"


def test_class_names_say_something() -> None:
    classes = [
        (short(p), n.name)
        for p, tree in MODULES.items()
        for n in ast.walk(tree)
        if isinstance(n, ast.ClassDef) and EMPTY_NAMES.search(n.name)
    ]
    assert not classes, f"name the thing, not that it does something: {classes}"


def test_the_base_does_not_become_a_drawer_of_leftovers() -> None:
    found = {p.stem for p in (SOURCE / "base").glob("*.py")}
    assert found <= BASE_FILES, f"a new file in base needs a decision record: {found - BASE_FILES}"


def test_public_functions_say_what_they_give() -> None:
    bare = [
        (short(p), f.name)
        for p, f in functions()
        if p.stem in {"model", "service", "api"}
        and not f.name.startswith("_")
        and (f.end_lineno or 0) - f.lineno > 5
        and not ast.get_docstring(f)
    ]
    assert not bare, f"one sentence that is true of the result: {bare}"


def test_sql_stands_in_stores_only() -> None:
    sql = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b", re.M)
    found = [
        (short(p), n.lineno)
        for p, tree in MODULES.items()
        if "store" not in p.stem and "store" not in p.parts and p.parent.name != "base"
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and sql.search(n.value)
    ]
    assert not found, f"move these statements to the room's store: {found}"


def test_broad_catches_stand_at_the_rims_only() -> None:
    found = [
        (short(p), n.lineno)
        for p, tree in MODULES.items()
        for n in ast.walk(tree)
        if isinstance(n, ast.ExceptHandler)
        and (n.type is None or getattr(n.type, "id", "") in {"Exception", "BaseException"})
        and short(p) not in RIMS
    ]
    assert not found, f"catch what you know, or let it reach the rim: {found}"
