"""Generate themes for lists of items: batch inference mode THEME_GENERATION.

The service writes themes with a language model; here they consist of the words specific to the items of a list.
https://docs.aws.amazon.com/personalize/latest/dg/themed-batch-recommendations.html
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # ships no stubs

_WORDS_PER_THEME = 3
# Weight of words in an item's name, relative to its other columns.
_NAME_REPEATS = 3
_NO_THEME = "Related items"


class ThemeMaker:
    """Make themes from the string columns of Items.

    :param items: rows of the Items dataset.
    :param name_column: the column that `themeGenerationConfig` names.
    """

    def __init__(self, items: pa.Table, name_column: str) -> None:
        self._rows = {item: row for row, item in enumerate(items["ITEM_ID"].to_pylist())}
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float64)
        try:
            self._vectors = self._vectorizer.fit_transform(_texts(items, name_column))
            self._words = self._vectorizer.get_feature_names_out()
        except ValueError:  # not one word in the whole dataset
            self._vectors = None

    def theme_of(self, item_ids: Sequence[str]) -> tuple[str, list[float]]:
        """Return a theme, and how well each item fits it: the cosine, 0 to 1; 0 for items without a row."""
        places = [place for place, item in enumerate(item_ids) if item in self._rows]
        relevance = [0.0] * len(item_ids)
        if self._vectors is None or not places:
            return _NO_THEME, relevance
        vectors = self._vectors[[self._rows[item_ids[place]] for place in places]]
        middle = np.asarray(vectors.mean(axis=0)).ravel()
        best = np.argsort(-middle, kind="stable")[:_WORDS_PER_THEME]
        words = [str(self._words[word]).capitalize() for word in best if middle[word] > 0]
        fits = vectors @ (middle / max(float(np.linalg.norm(middle)), 1e-12))
        for place, fit in zip(places, fits.tolist(), strict=True):
            relevance[place] = float(fit)
        return ", ".join(words) or _NO_THEME, relevance


def _texts(items: pa.Table, name_column: str) -> list[str]:
    texts = [""] * items.num_rows
    for name in items.column_names:
        column = items.column(name)
        if name == "ITEM_ID" or not pa.types.is_string(column.type):
            continue
        repeats = _NAME_REPEATS if name == name_column else 1
        for row, cell in enumerate(column.to_pylist()):
            texts[row] += f" {cell or ''}" * repeats
    return texts
