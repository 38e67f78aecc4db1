"""Every S3 key of recsync, made in one place.

<program>/exports/<dataset>/<interval>.csv       one object per dataset and interval, overwritten by reruns
<program>/exports/manifests/<interval>.json      publishes the interval
<program>/full/<run>/<dataset>.csv               a fresh snapshot for a FULL import
<program>/full/<run>/manifest.json
<program>/exports/{reports,quarantine,ids,imported,staging}/…  what lies beside an exported object: see companion();
<program>/full/<run>/{reports,quarantine,…}/…     the same of a snapshot
<program>/imports/<run>/<dataset>/<interval>.csv what one import takes of the published intervals
<program>/batch/<run>/input/users.json           input of a batch inference job
<program>/batch/<run>/output/                    its output
<program>/batch/<run>/again/{input,output}/…     the same of a second job for what the first one did not answer
<program>/batch/<run>/segment/{input,output}/…   the same of the segment job that says who gets lists
<program>/recommendations/<run>/…                lists.parquet, catalogue.parquet, manifest.json, audience.parquet,
                                                 catalogue-report.json, known-ids.json, and what lists are made
                                                 from: seeds, segments, promotion
<program>/deliveries/<delivery>/plan.json        publishes the plan: writes/*.parquet, settled.parquet, items.parquet
<program>/deliveries/<delivery>/sample.json      some of the payloads, for people to look at
<program>/deliveries/<delivery>/ledger/<n>.json  what is settled; see push/ledger.py
<program>/deliveries/<delivery>/…                accounts.parquet, dead_letters.jsonl, report.json, verification.json
<program>/maintenance/<run>/…                    objects.json, resources.json, report.json of one maintain run
<program>/erasure/<erasure>/…                    request.json, input/users.csv, done.json: gone when it ends
<program>/erasure/certificates/…                 what each erasure removed; hashes only
<program>/state/…                                champion.json, imports.json, last_sent.json, last_sent/…,
                                                 catalog-….json, alerts/…, tuning.json, comparisons/…, money/…

Personalize reads first-level objects of a folder only, so no folder it reads has folders below it.
"""

from __future__ import annotations

from dataclasses import dataclass

from recsync.program import DatasetType


@dataclass(frozen=True)
class Keys:
    """The keys of one program."""

    program: str

    def export(self, dataset_type: DatasetType, interval: str) -> str:
        """Give the object of one dataset and interval."""
        return f"{self.program}/exports/{dataset_type.folder}/{interval}.csv"

    @property
    def export_manifests(self) -> str:
        """Give the prefix of all interval manifests."""
        return f"{self.program}/exports/manifests/"

    def export_manifest(self, interval: str) -> str:
        """Give the manifest that publishes one interval."""
        return f"{self.export_manifests}{interval}.json"

    def full(self, run: str, dataset_type: DatasetType) -> str:
        """Give the snapshot object of one dataset."""
        return f"{self.program}/full/{run}/{dataset_type.folder}.csv"

    def full_manifest(self, run: str) -> str:
        """Give the manifest of one full snapshot."""
        return f"{self.program}/full/{run}/manifest.json"

    def companion(self, exported: str, room: str, suffix: str) -> str:
        """Give what lies beside an exported object, in a folder of its own that no import reads.

        :param exported: key of an interval's object or of a snapshot's.
        :param room: ``reports``, ``quarantine``, ``ids``, ``imported`` for the ids of what was imported, or ``staging``
            for what a warehouse unloads.
        """
        folder, _, name = exported.removesuffix(".csv").rpartition("/")
        exports = f"{self.program}/exports"
        if folder.startswith(f"{exports}/"):
            return f"{exports}/{room}{folder.removeprefix(exports)}/{name}{suffix}"
        return f"{folder}/{room}/{name}{suffix}"

    @property
    def staged_reads(self) -> str:
        """Give the prefix below which a warehouse unloads what is read of audience, catalogue and the like."""
        return f"{self.program}/exports/staging/reads/"

    def export_companions(self, dataset_type: DatasetType, room: str) -> str:
        """Give the prefix of one dataset's companions of intervals."""
        return f"{self.program}/exports/{room}/{dataset_type.folder}/"

    @property
    def all_full(self) -> str:
        """Give the prefix of all full snapshots."""
        return f"{self.program}/full/"

    @property
    def all_imports(self) -> str:
        """Give the prefix of the folders of all imports."""
        return f"{self.program}/imports/"

    def import_folder(self, run: str, dataset_type: DatasetType) -> str:
        """Give the folder that one run's import reads; ends with a slash."""
        return f"{self.all_imports}{run}/{dataset_type.folder}/"

    def import_object(self, run: str, dataset_type: DatasetType, interval: str) -> str:
        """Give the object that holds what one run's import takes of an interval."""
        return f"{self.import_folder(run, dataset_type)}{interval}.csv"

    def batch_input(self, run: str) -> str:
        """Give the input object of a batch inference job."""
        return f"{self.program}/batch/{run}/input/users.json"

    def batch_output(self, run: str) -> str:
        """Give the output folder of a batch inference job; ends with a slash."""
        return f"{self.program}/batch/{run}/output/"

    def second_input(self, run: str) -> str:
        """Give the input object of the second job of a run, for what the first one did not answer."""
        return f"{self.program}/batch/{run}/again/input/users.json"

    def second_output(self, run: str) -> str:
        """Give its output folder; ends with a slash."""
        return f"{self.program}/batch/{run}/again/output/"

    def segment_input(self, run: str) -> str:
        """Give the input object of the segment job that says who gets lists."""
        return f"{self.program}/batch/{run}/segment/input/items.json"

    def segment_output(self, run: str) -> str:
        """Give its output folder; ends with a slash."""
        return f"{self.program}/batch/{run}/segment/output/"

    def run_part(self, run: str, part: str) -> str:
        """Give something else that one recommend run works with, as Parquet."""
        return f"{self.recommendations(run)}{part}.parquet"

    def audience(self, run: str) -> str:
        """Give the audience of one recommend run."""
        return f"{self.recommendations(run)}audience.parquet"

    def catalogue_report(self, run: str) -> str:
        """Give the report about the rows of ``catalogue.sql`` that one recommend run read."""
        return f"{self.recommendations(run)}catalogue-report.json"

    def known_ids_report(self, run: str) -> str:
        """Give the figures about ids of one recommend run that no export knows."""
        return f"{self.recommendations(run)}known-ids.json"

    @property
    def all_recommendations(self) -> str:
        """Give the prefix of every recommend run."""
        return f"{self.program}/recommendations/"

    def recommendations(self, run: str) -> str:
        """Give the folder of one recommend run; ends with a slash."""
        return f"{self.all_recommendations}{run}/"

    def recommendations_manifest(self, run: str) -> str:
        """Give the manifest that publishes one recommend run."""
        return f"{self.recommendations(run)}manifest.json"

    @property
    def all_deliveries(self) -> str:
        """Give the prefix of every delivery."""
        return f"{self.program}/deliveries/"

    def delivery(self, delivery: str) -> str:
        """Give the folder of one delivery; ends with a slash."""
        return f"{self.all_deliveries}{delivery}/"

    def ledger_entry(self, delivery: str, number: int) -> str:
        """Give one entry of a delivery's ledger; the names sort as the numbers do."""
        return f"{self.delivery(delivery)}ledger/{number:08d}.json"

    @property
    def erasures(self) -> str:
        """Give the prefix of what erasures work with, and of their certificates."""
        return f"{self.program}/erasure/"

    def erasure(self, name: str, part: str) -> str:
        """Give one object of an erasure: the request, the input of the deletion job, what was done so far."""
        return f"{self.erasures}{name}/{part}"

    def certificate(self, name: str, stamp: str, suffix: str) -> str:
        """Give the certificate of one erasure, ``.json`` or ``.txt``."""
        return f"{self.erasures}certificates/{stamp}-{name}{suffix}"

    def alert(self, digest: str) -> str:
        """Give the object that says when people were last told of one thing."""
        return self.state(f"alerts/{digest}.json")

    def money(self, month: str) -> str:
        """Give the ledger of what one month used, ``YYYY-MM``."""
        return self.state(f"money/{month}.json")

    @property
    def all_comparisons(self) -> str:
        """The prefix of all comparisons."""
        return self.state("comparisons/")

    def comparison(self, run: str) -> str:
        """Give the object that puts the solutions trained by one run side by side."""
        return f"{self.all_comparisons}{run}.json"

    def maintenance(self, run: str, part: str) -> str:
        """Give one part of the report of a maintain run."""
        return f"{self.program}/maintenance/{run}/{part}.json"

    def state(self, name: str) -> str:
        """Give one object of the program's state."""
        return f"{self.program}/state/{name}"


def uri(bucket: str, key: str) -> str:
    """Write an S3 URI."""
    return f"s3://{bucket}/{key}"
