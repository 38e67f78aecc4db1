import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The benchmarks are started as `python -m benchmarks.run` from the checkout, which is on the path then.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture(scope="session", autouse=True)
def bench_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("bench")
        patch.setenv("BENCH_DIR", str(place))
        yield place
