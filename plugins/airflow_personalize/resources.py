"""What this package knows about each Amazon Personalize resource, as data."""

from __future__ import annotations

from airflow_personalize.resource import HOUR_SECONDS, Compared, Resource, Update

_BATCH_JOB = (
    Compared("solutionVersionArn"),
    Compared("filterArn"),
    Compared("numResults", if_asked=True),
    Compared("jobInput"),
    Compared("jobOutput"),
    Compared("roleArn"),
)

DATASET_GROUP = Resource(
    member="datasetGroup",
    noun="dataset group",
    waiter="dataset_group_active",
    compared=(Compared("roleArn"), Compared("kmsKeyArn"), Compared("domain")),
    remedy="Ask for what exists, or choose another name.",
    quota="5 active dataset groups per region, adjustable",
)
SCHEMA = Resource(
    member="schema",
    noun="schema",
    waiter=None,
    compared=(Compared("schema"), Compared("domain")),
    remedy="Schemas never change: choose another name, for instance one that ends in a hash of the text.",
    quota="500 schemas per region",
)
DATASET = Resource(
    member="dataset",
    noun="dataset",
    waiter="dataset_active",
    compared=(Compared("schemaArn"), Compared("datasetType"), Compared("datasetGroupArn")),
    parent="datasetGroupArn",
    arn_tail="dataset/{dataset_group_name}/{datasetType}",
    update=Update("latestDatasetUpdate", (Compared("schemaArn"),)),
    remedy="UpdateDataset swaps the schema of Items and Users datasets; any other needs a new dataset group.",
    quota="one dataset of each type per dataset group",
)
DATASET_IMPORT_JOB = Resource(
    member="datasetImportJob",
    noun="dataset import job",
    waiter="dataset_import_job_complete",
    compared=(
        Compared("datasetArn"),
        Compared("dataSource.dataLocation"),
        Compared("roleArn"),
        Compared("importMode", default="FULL"),
        Compared("publishAttributionMetricsToS3", default=False),
    ),
    parent="datasetArn",
    arn_tail="dataset-import-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another import another name.",
    quota="5 pending or running import jobs per region",
    patience_seconds=HOUR_SECONDS,
)
DATASET_EXPORT_JOB = Resource(
    member="datasetExportJob",
    noun="dataset export job",
    waiter="dataset_export_job_complete",
    compared=(
        Compared("datasetArn"),
        Compared("ingestionMode", default="PUT"),
        Compared("roleArn"),
        Compared("jobOutput"),
    ),
    parent="datasetArn",
    arn_tail="dataset-export-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another export another name.",
    quota="on running dataset export jobs per region, whose size is not published",
    patience_seconds=6 * HOUR_SECONDS,
)
DATA_DELETION_JOB = Resource(
    member="dataDeletionJob",
    noun="data deletion job",
    waiter="data_deletion_job_complete",
    compared=(Compared("datasetGroupArn"), Compared("dataSource.dataLocation"), Compared("roleArn")),
    parent="datasetGroupArn",
    arn_tail="data-deletion-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another deletion another name.",
    quota="5 pending data deletion jobs per dataset group",
    # The guide says that a deletion can take up to a day.
    patience_seconds=24 * HOUR_SECONDS,
)
SOLUTION = Resource(
    member="solution",
    noun="solution",
    waiter="solution_active",
    compared=(
        Compared("recipeArn"),
        Compared("datasetGroupArn"),
        Compared("eventType"),
        Compared("performHPO", default=False),
        # Left out, the service trains on its own schedule (docs of CreateSolution, since April 2024).
        Compared("performAutoTraining", default=True),
        Compared("performIncrementalUpdate", default=False),
        Compared("solutionConfig.eventValueThreshold"),
        Compared("solutionConfig.eventsConfig"),
        Compared("solutionConfig.optimizationObjective"),
        Compared("solutionConfig.trainingDataConfig"),
        # The service describes these with what it filled in itself.
        Compared("solutionConfig.hpoConfig", if_asked=True),
        Compared("solutionConfig.algorithmHyperParameters", if_asked=True),
        Compared("solutionConfig.featureTransformationParameters", if_asked=True),
        Compared("solutionConfig.autoTrainingConfig", if_asked=True),
    ),
    parent="datasetGroupArn",
    arn_tail="solution/{name}",
    update=Update(
        "latestSolutionUpdate",
        (
            Compared("performAutoTraining", if_asked=True),
            Compared("performIncrementalUpdate", if_asked=True),
            *(
                Compared(f"solutionUpdateConfig.{part}", if_asked=True, found=f"solutionConfig.{part}")
                for part in ("autoTrainingConfig", "eventsConfig")
            ),
        ),
    ),
    remedy="UpdateSolution changes automatic training, incremental update and event weights; for any other "
    "change choose another name.",
    quota="10 solutions per dataset group, adjustable",
)
SOLUTION_VERSION = Resource(
    member="solutionVersion",
    noun="solution version",
    waiter="solution_version_complete",
    compared=(Compared("solutionArn"), Compared("trainingMode", default="FULL")),
    parent="solutionArn",
    single_use=True,
    remedy="Give another training another name.",
    quota="20 pending or running solution versions per region, adjustable",
    patience_seconds=24 * HOUR_SECONDS,
)
FILTER = Resource(
    member="filter",
    noun="filter",
    waiter="filter_active",
    compared=(Compared("filterExpression"), Compared("datasetGroupArn")),
    parent="datasetGroupArn",
    arn_tail="filter/{name}",
    list_member="Filters",
    remedy="Filters never change: choose another name, or delete this one first.",
    quota="30 filters per dataset group, adjustable",
)
BATCH_INFERENCE_JOB = Resource(
    member="batchInferenceJob",
    noun="batch inference job",
    waiter="batch_inference_job_complete",
    compared=(
        *_BATCH_JOB,
        Compared("batchInferenceJobConfig", if_asked=True),
        Compared("batchInferenceJobMode", default="BATCH_INFERENCE"),
        Compared("themeGenerationConfig"),
    ),
    parent="solutionVersionArn",
    arn_tail="batch-inference-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another job another name.",
    quota="5 pending or running batch inference jobs per region, adjustable",
    patience_seconds=6 * HOUR_SECONDS,
)
BATCH_SEGMENT_JOB = Resource(
    member="batchSegmentJob",
    noun="batch segment job",
    waiter="batch_segment_job_complete",
    compared=_BATCH_JOB,
    parent="solutionVersionArn",
    arn_tail="batch-segment-job/{jobName}",
    name_member="jobName",
    single_use=True,
    remedy="Job names are single-use: give another job another name.",
    quota="5 pending or running batch segment jobs per region",
    patience_seconds=6 * HOUR_SECONDS,
)
CAMPAIGN = Resource(
    member="campaign",
    noun="campaign",
    waiter="campaign_active",
    compared=(
        Compared("solutionVersionArn"),
        Compared("minProvisionedTPS", if_asked=True),
        Compared("campaignConfig", if_asked=True),
    ),
    # ListCampaigns narrows by solution, CreateCampaign names a solution version.
    sibling="solutionVersionArn",
    arn_tail="campaign/{name}",
    remedy="UpdateCampaign moves it to another solution version or configuration; or choose another name.",
    quota="5 campaigns per dataset group, adjustable",
    update=Update(
        "latestCampaignUpdate",
        (
            Compared("solutionVersionArn", if_asked=True),
            Compared("minProvisionedTPS", if_asked=True),
            Compared("campaignConfig", if_asked=True),
        ),
    ),
    patience_seconds=HOUR_SECONDS,
)
EVENT_TRACKER = Resource(
    member="eventTracker",
    noun="event tracker",
    waiter="event_tracker_active",
    compared=(Compared("name"), Compared("datasetGroupArn")),
    parent="datasetGroupArn",
    one_per_parent=True,
    remedy="A dataset group has one event tracker: use the one there is, or delete it first.",
    quota="one event tracker per dataset group",
)
METRIC_ATTRIBUTION = Resource(
    member="metricAttribution",
    noun="metric attribution",
    waiter="metric_attribution_active",
    compared=(
        Compared("name"),
        Compared("datasetGroupArn"),
        Compared("metrics"),
        Compared("metricsOutputConfig"),
    ),
    parent="datasetGroupArn",
    arn_tail="metric-attribution/{name}",
    one_per_parent=True,
    listed_apart=("metrics", "list_metric_attribution_metrics"),
    update=Update(None, (Compared("metricsOutputConfig", if_asked=True),)),
    remedy="UpdateMetricAttribution adds and removes metrics and changes the output; a dataset group has one.",
    quota="one metric attribution of at most 10 metrics per dataset group",
)
# Of domain dataset groups only, where they take the place of solution and campaign.
RECOMMENDER = Resource(
    member="recommender",
    noun="recommender",
    waiter="recommender_active",
    compared=(
        Compared("recipeArn"),
        Compared("datasetGroupArn"),
        Compared("recommenderConfig", if_asked=True),
    ),
    parent="datasetGroupArn",
    arn_tail="recommender/{name}",
    update=Update("latestRecommenderUpdate", (Compared("recommenderConfig", if_asked=True),)),
    remedy="UpdateRecommender changes its configuration; for another use case choose another name.",
    quota="5 recommenders per dataset group, 15 per region",
    # Creating one trains its models.
    patience_seconds=24 * HOUR_SECONDS,
)
RESOURCES = (
    DATASET_GROUP,
    SCHEMA,
    DATASET,
    DATASET_IMPORT_JOB,
    DATASET_EXPORT_JOB,
    DATA_DELETION_JOB,
    SOLUTION,
    SOLUTION_VERSION,
    FILTER,
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    CAMPAIGN,
    EVENT_TRACKER,
    METRIC_ATTRIBUTION,
    RECOMMENDER,
)
