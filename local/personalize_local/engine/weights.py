"""Keep what a FULL training learned, and line it up with the items of a later UPDATE."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.blend import TASTES, USER, Bend, Blend
from personalize_local.engine.errors import HyperparameterError
from personalize_local.engine.factors import ItemFactors
from personalize_local.engine.histories import ItemSignals
from personalize_local.engine.interactions import BoolArray, Float32Array
from personalize_local.engine.logistic import Logistic

ITEMS_FILE = "weights.parquet"
VECTORS_FILE = "item_vectors.npy"
BLEND_FILE = "blend.json"
# The service's default of hidden_dimension is 149; 64 factors are as good here and train in half the time.
DEFAULT_HIDDEN_DIMENSION = 64
# Default and ranges of the service: facts of native-recipe-new-item-USER_PERSONALIZATION in the developer guide.
DEFAULT_BPTT = 32
RANGES = {"hidden_dimension": (32, 256), "bptt": (2, 32)}


@dataclass(frozen=True)
class Settings:
    """Hold the hyperparameters as this model reads them.

    :param num_factors: `hidden_dimension`.
    :param half_life: `bptt`, read as the number of items back at which one counts half for the recent taste;
        None when `recency_mask` is False.
    """

    num_factors: int = DEFAULT_HIDDEN_DIMENSION
    half_life: float | None = float(DEFAULT_BPTT)

    @classmethod
    def parse(cls, hyperparameters: Mapping[str, str]) -> "Settings":
        """Read the API's strings; others than the recipe's are ignored.

        :raises HyperparameterError: for a malformed or out-of-range value.
        """
        mask = hyperparameters.get("recency_mask", "True").strip().lower()
        if mask not in {"true", "false"}:
            raise HyperparameterError(f"recency_mask is {mask!r}, expected True or False.")
        half_life = parse_int(hyperparameters, "bptt", DEFAULT_BPTT)
        num_factors = parse_int(hyperparameters, "hidden_dimension", DEFAULT_HIDDEN_DIMENSION)
        return cls(num_factors, float(half_life) if mask == "true" else None)


def parse_int(hyperparameters: Mapping[str, str], name: str, default: int) -> int:
    """Read a whole number within its range."""
    low, high = RANGES[name]
    text = hyperparameters.get(name, str(default))
    try:
        value = int(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} is {text!r}, expected a whole number.") from error
    if not low <= value <= high:
        raise HyperparameterError(f"{name} is {value}, expected {low} to {high}.")
    return value


@dataclass(frozen=True)
class Weights:
    """Hold all that is learned; arrays are indexed by `item_ids`, `factors` holds positions in it.

    :param known: the items of the FULL training; those that an UPDATE brought stay out until the next one.
    """

    settings: Settings
    item_ids: pa.Array
    known: BoolArray
    signals: ItemSignals
    factors: ItemFactors
    blend: Blend

    def align(self, item_ids: pa.Array, fresh: ItemSignals) -> "Weights":
        """Move to another catalogue: what is known keeps its values, new items take fresh signals."""
        place = pc.fill_null(pc.index_in(self.item_ids, value_set=item_ids), -1).to_numpy().astype(np.int64)
        there = place >= 0
        known = np.zeros(len(item_ids), dtype=np.bool_)
        known[place[there]] = self.known[there]
        kept = there & self.known
        columns = {name: getattr(fresh, name).copy() for name in ("users", "recent", "repeat_rate")}
        for name, column in columns.items():
            column[place[kept]] = getattr(self.signals, name)[kept]
        items = place[self.factors.items]
        factors = self.factors.move(items, len(item_ids))
        return Weights(self.settings, item_ids, known, ItemSignals(**columns), factors, self.blend)

    def item_side(self) -> tuple[Float32Array, Float32Array]:
        """Lay out what the odds of discovering each item hang on: a vector, shape (items, factors + 1), an offset.

        The offset is minus infinity for the items that are not known.
        """
        model, part = self.blend.discovery, slice(TASTES, USER)
        signals = model.standardise(self.signals.features(np.arange(len(self.item_ids))), part)
        slopes = model.weights[part] + signals @ model.form[part, part]
        offset = np.where(self.known, np.einsum("ij,ij->i", slopes, signals), -np.inf)
        vector = np.column_stack([self.factors.of_items(slice(None)), signals @ model.form[part, USER]])
        return vector.astype(np.float32), offset.astype(np.float32)

    def user_side(self, tastes: list[Float32Array], size: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Lay out the same for users: log odds are the product of both vectors plus both offsets, bent.

        :param size: log of the number of the user's rows.
        """
        model, last = self.blend.discovery, USER + 1
        size = model.standardise(size[:, None], slice(USER, last))[:, 0]
        offset = model.intercept + size * (model.weights[USER] + size * model.form[USER, USER])
        # Nobody is asked for what was taken at any time: the last column is 0.
        offset -= model.weights[last] * model.mean[last] / model.deviation[last]
        vector = np.zeros((len(size), tastes[0].shape[1] + 1), dtype=np.float32)
        vector[:, -1] = size
        for column, taste in enumerate(tastes):
            slope = (model.weights[column] + size * model.form[column, USER]) / model.deviation[column]
            vector[:, :-1] += slope.astype(np.float32)[:, None] * taste
            offset -= slope * model.mean[column]
        return vector, offset.astype(np.float32)

    def write(self, folder: Path) -> None:
        """Write one Parquet, one npy and one JSON file."""
        columns = {
            "item_id": self.item_ids,
            "known": self.known,
            "users": self.signals.users,
            "recent": self.signals.recent,
            "repeat_rate": self.signals.repeat_rate,
            "column": self.factors.column,
        }
        pq.write_table(pa.table(columns), folder / ITEMS_FILE)
        np.save(folder / VECTORS_FILE, self.factors.vectors)
        again = None if self.blend.again is None else self.blend.again.as_json()
        values = {
            "settings": asdict(self.settings),
            "regularization": self.factors.regularization,
            "again": again,
            "discovery": self.blend.discovery.as_json(),
            "bend": asdict(self.blend.bend),
        }
        (folder / BLEND_FILE).write_text(json.dumps(values))

    @classmethod
    def read(cls, folder: Path) -> "Weights":
        """Read what :meth:`write` wrote."""
        table = pq.read_table(folder / ITEMS_FILE).combine_chunks()
        column = {name: table.column(name).chunk(0) for name in table.column_names}
        values = json.loads((folder / BLEND_FILE).read_text())
        rows = column["column"].to_numpy()
        items = np.flatnonzero(rows >= 0)
        items = items[np.argsort(rows[items], kind="stable")]
        signals = ItemSignals(*(column[name].to_numpy() for name in ("users", "recent", "repeat_rate")))
        return cls(
            settings=Settings(**values["settings"]),
            item_ids=column["item_id"],
            known=column["known"].to_numpy(zero_copy_only=False),
            signals=signals,
            factors=ItemFactors(items, np.load(folder / VECTORS_FILE), rows, values["regularization"]),
            blend=Blend(
                again=None if values["again"] is None else Logistic.from_json(values["again"]),
                discovery=Logistic.from_json(values["discovery"]),
                bend=Bend(**values["bend"]),
            ),
        )
