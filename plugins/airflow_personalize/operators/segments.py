"""Start or adopt batch segment jobs: users for items, where recommendations are items for users."""

from __future__ import annotations

from airflow_personalize.links.personalize import PersonalizeBatchSegmentJobLink
from airflow_personalize.operators.batch import PersonalizeCreateBatchJobBaseOperator, batch_template_fields
from airflow_personalize.resources import BATCH_SEGMENT_JOB
from airflow_personalize.triggers.personalize import PersonalizeBatchSegmentJobCompletedTrigger


class PersonalizeCreateBatchSegmentJobOperator(PersonalizeCreateBatchJobBaseOperator):
    """Find the users most likely to want each item, or what has the attributes, of an input file; S3 to S3.

    .. seealso:: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html

    :param job_name: single-use for ever; a retry after a failure adds ``-2``, ``-3``… by itself.
    :param solution_version_arn: ARN of a solution version of Item-Affinity or Item-Attribute-Affinity.
    :param input_path: ``s3://`` address of a JSON Lines object, or of a folder ending in ``/``.
    :param output_path: ``s3://`` address of the output folder, ending in ``/``; one per job.
    :param role_arn: role with which the service reads and writes S3.
    :param num_results: users per line, an upper bound. Default: the API's, 25.
    :param filter_arn: ARN of a filter of users. Default: none.
    :param input_kms_key_arn: key with which the input is encrypted. Default: none.
    :param output_kms_key_arn: key with which to encrypt the output. Default: none.
    """

    resource = BATCH_SEGMENT_JOB
    trigger_class = PersonalizeBatchSegmentJobCompletedTrigger
    link_class = PersonalizeBatchSegmentJobLink
    operator_extra_links = (PersonalizeBatchSegmentJobLink(),)
    template_fields = batch_template_fields()
