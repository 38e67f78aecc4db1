"""Every S3 key of recsync, made in one place.

<program>/exports/<dataset>/<interval>.csv       one object per dataset and interval, overwritten by reruns
<program>/exports/manifests/<interval>.json      publishes the interval
<program>/full/<run>/<dataset>.csv               a fresh snapshot for a FULL import
<program>/full/<run>/manifest.json
<program>/exports/{reports,quarantine,ids,imported,staging}/…  files about an exported object: see companion();
<program>/full/<run>/{reports,quarantine,…}/…     the same of a snapshot
<program>/imports/<run>/<dataset>/<interval>.csv what one import takes of the published intervals
<program>/batch/<run>/input/users.json           input of a batch inference job
<program>/batch/<run>/output/                    its output
<program>/batch/<run>/<i>-of-<n>/{input,output}/… the same of each job, when one cannot take the whole input
<program>/batch/<run>/again/{input,output}/…     the same of a second job, for users without an answer
<program>/batch/<run>/segment/{input,output}/…   the same of the segment job that says who gets lists
<program>/batch/<run>/lists/…                    what the tasks that build lists share; gone when they are published
<program>/recommendations/<run>/…                lists.parquet, catalogue.parquet, manifest.json, audience.parquet,
                                                 catalogue-report.json, known-ids.json, left_out.parquet, and the
                                                 inputs of lists: seeds, segments, promotion
<program>/deliveries/<delivery>/plan.json        publishes the plan: writes/*.parquet, settled.parquet, items.parquet
<program>/deliveries/<delivery>/sample.json      some of the payloads, for people to look at
<program>/deliveries/<delivery>/ledger/<n>.json  settled writes; see push/ledger.py
<program>/deliveries/<delivery>/…                accounts.parquet, dead_letters.jsonl, report.json, verification.json
<program>/lift/<run>/report.json                  the arms of the experiment compared, until that run
<program>/attribution/…                          reports of the metric attribution, as Amazon Personalize names them
<program>/maintenance/<run>/…                    objects.json, resources.json, report.json of one maintain run
<program>/tables/<table>/date=<day>/….parquet     tables for others: see tables/schema.py
<program>/erasure/<request>/request.json         a person to erase; the open requests are the queue
<program>/erasure/<batch>/…                      batch.json, people.json, input/users.csv, staged/…, done.json: the
                                                 requests that one run takes; gone when it ends
<program>/erasure/certificates/…                 what each erasure removed; hashes only
<program>/erasure/batches/…                      the same of a run's requests together
<program>/state/…                                champion.json, imports.json, last_sent.json, last_sent/…,
                                                 erasure-index.parquet, catalog-….json, alerts/…, freshness.json,
                                                 tuning.json, comparisons/…, money/…
_experiments/<layer>/layer.json                  which buckets of people the experiments of a layer have. It belongs to
                                                 all programs; their names cannot begin with _: experiments/store.py
_experiments/<layer>/<experiment>/…              enrolled.json, enrolled/….parquet: who is in which arm since when

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
        return f"{self.program}/exports/{dataset_type.folder}/{interval}.csv"

    @property
    def export_manifests(self) -> str:
        return f"{self.program}/exports/manifests/"

    def export_manifest(self, interval: str) -> str:
        return f"{self.export_manifests}{interval}.json"

    def full(self, run: str, dataset_type: DatasetType) -> str:
        return f"{self.program}/full/{run}/{dataset_type.folder}.csv"

    def full_manifest(self, run: str) -> str:
        return f"{self.program}/full/{run}/manifest.json"

    def companion(self, exported: str, room: str, suffix: str) -> str:
        """Return the key of a file about an exported object, in a folder that no import reads.

        :param exported: key of an interval's object or of a snapshot's.
        :param room: ``reports``, ``quarantine``, ``ids``, ``imported`` (ids of imported rows) or ``staging`` (unloads).
        """
        folder, _, name = exported.removesuffix(".csv").rpartition("/")
        exports = f"{self.program}/exports"
        if folder.startswith(f"{exports}/"):
            return f"{exports}/{room}{folder.removeprefix(exports)}/{name}{suffix}"
        return f"{folder}/{room}/{name}{suffix}"

    @property
    def staged_reads(self) -> str:
        """Return the prefix below which a warehouse unloads the audience, the catalogue and other queries."""
        return f"{self.program}/exports/staging/reads/"

    def export_companions(self, dataset_type: DatasetType, room: str) -> str:
        """Return the prefix of one dataset's companions of intervals."""
        return f"{self.program}/exports/{room}/{dataset_type.folder}/"

    @property
    def all_full(self) -> str:
        return f"{self.program}/full/"

    @property
    def all_imports(self) -> str:
        return f"{self.program}/imports/"

    def import_folder(self, run: str, dataset_type: DatasetType) -> str:
        """Return the folder that one run's import reads; ends with a slash."""
        return f"{self.all_imports}{run}/{dataset_type.folder}/"

    def import_object(self, run: str, dataset_type: DatasetType, interval: str) -> str:
        return f"{self.import_folder(run, dataset_type)}{interval}.csv"

    def batch(self, run: str) -> str:
        """Return the folder of the inputs and outputs of a run's jobs; ends with a slash."""
        return f"{self.program}/batch/{run}/"

    def batch_input(self, run: str, part: str = "") -> str:
        """Return the input object of a batch inference job.

        :param part: one of several jobs, with a slash at the end; empty: the only one.
        """
        return f"{self.batch(run)}{part}input/users.json"

    def batch_output(self, run: str, part: str = "") -> str:
        """Return the output folder of a batch inference job; ends with a slash."""
        return f"{self.batch(run)}{part}output/"

    def second_input(self, run: str, part: str = "") -> str:
        """Return the input object of a run's second job, for users without an answer."""
        return self.batch_input(run, f"again/{part}")

    def second_output(self, run: str, part: str = "") -> str:
        return self.batch_output(run, f"again/{part}")

    def list_spool(self, run: str, name: str = "") -> str:
        """Return an object that the tasks of a run share while they build its lists, or the folder of all."""
        return f"{self.batch(run)}lists/{name}"

    def segment_input(self, run: str) -> str:
        """Return the input object of the segment job that selects the users who get lists."""
        return f"{self.program}/batch/{run}/segment/input/items.json"

    def segment_output(self, run: str) -> str:
        return f"{self.program}/batch/{run}/segment/output/"

    def run_part(self, run: str, part: str) -> str:
        """Return another Parquet object of one recommend run."""
        return f"{self.recommendations(run)}{part}.parquet"

    def audience(self, run: str) -> str:
        return f"{self.recommendations(run)}audience.parquet"

    def catalog_report(self, run: str) -> str:
        """Return the report about the rows of ``catalogue.sql``."""
        return f"{self.recommendations(run)}catalogue-report.json"

    def known_ids_report(self, run: str) -> str:
        """Return the report about ids that no export knows."""
        return f"{self.recommendations(run)}known-ids.json"

    @property
    def all_recommendations(self) -> str:
        return f"{self.program}/recommendations/"

    def recommendations(self, run: str) -> str:
        """Return the folder of one recommend run; ends with a slash."""
        return f"{self.all_recommendations}{run}/"

    def recommendations_manifest(self, run: str) -> str:
        return f"{self.recommendations(run)}manifest.json"

    @property
    def all_deliveries(self) -> str:
        return f"{self.program}/deliveries/"

    def delivery(self, delivery: str) -> str:
        """Return the folder of one delivery; ends with a slash."""
        return f"{self.all_deliveries}{delivery}/"

    def accounts(self, delivery: str) -> str:
        return f"{self.delivery(delivery)}accounts.parquet"

    def ledger_entry(self, delivery: str, number: int) -> str:
        """Return the key of one entry of a delivery's ledger; keys sort by number."""
        return f"{self.delivery(delivery)}ledger/{number:08d}.json"

    def table(self, name: str) -> str:
        """Return the folder of one table for others; ends with a slash."""
        return f"{self.program}/tables/{name}/"

    def table_object(self, name: str, day: str, part: str) -> str:
        """Return one object of a table.

        :param day: partition, ISO 8601.
        """
        return f"{self.table(name)}date={day}/{part}.parquet"

    @property
    def attribution_reports(self) -> str:
        """Return the folder that Amazon Personalize writes reports to; ends with a slash."""
        return f"{self.program}/attribution/"

    @property
    def erasures(self) -> str:
        """Return the prefix of all erasures and their certificates."""
        return f"{self.program}/erasure/"

    def erasure(self, name: str, part: str) -> str:
        """Return the key of the request, of the deletion job's input or of the progress of an erasure."""
        return f"{self.erasures}{name}/{part}"

    def certificate(self, name: str, stamp: str, suffix: str) -> str:
        return f"{self.erasures}certificates/{stamp}-{name}{suffix}"

    def batch_certificate(self, batch: str, stamp: str, suffix: str) -> str:
        """Return the key of the certificate of all requests that one run took."""
        return f"{self.erasures}batches/{stamp}-{batch}{suffix}"

    @property
    def erasure_index(self) -> str:
        """Return the key of the index of which object can hold whom."""
        return self.state("erasure-index.parquet")

    def alert(self, digest: str) -> str:
        """Return the key of the last alert about one problem."""
        return self.state(f"alerts/{digest}.json")

    def money(self, month: str) -> str:
        return self.state(f"money/{month}.json")

    @property
    def all_comparisons(self) -> str:
        return self.state("comparisons/")

    def comparison(self, run: str) -> str:
        """Return the key of the comparison of the solutions that one run trained."""
        return f"{self.all_comparisons}{run}.json"

    def maintenance(self, run: str, part: str) -> str:
        return self.run_document("maintenance", run, part)

    def run_document(self, prefix: str, run: str, part: str) -> str:
        """Return the key of a document of one run below a prefix of the table of stages."""
        return f"{self.run_documents(prefix)}{run}/{part}.json"

    def run_documents(self, prefix: str) -> str:
        """Return the folder of all runs below a prefix of the table of stages; ends with a slash."""
        return f"{self.program}/{prefix}/"

    def state(self, name: str) -> str:
        return f"{self.program}/state/{name}"


ALL_EXPERIMENTS = "_experiments/"


def layer(name: str) -> str:
    """Return the key of a layer's document; a layer belongs to all programs of the bucket."""
    return f"{ALL_EXPERIMENTS}{name}/layer.json"


def enrolment(layer_name: str, experiment: str) -> str:
    """Return the folder of an experiment's people; ends with a slash."""
    return f"{ALL_EXPERIMENTS}{layer_name}/{experiment}/"


def uri(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"
