from __future__ import annotations

from pathlib import Path

from recsync.program.files import program_files, read_program
from recsync.program.recipes import RECIPES


def test_every_recipe_has_a_sound_example() -> None:
    examples = Path(__file__).resolve().parents[3] / "examples" / "recipes"
    programs = [read_program(path, examples) for path in program_files(examples)]
    assert {program.personalize.recipe for program in programs} == set(RECIPES)
    assert any(program.audience.segment for program in programs)
    used = {name for program in programs for name in program.files()}
    there = {
        str(path.relative_to(examples)) for path in examples.rglob("*.*") if path.suffix in {".sql", ".json"}
    }
    assert used == there
