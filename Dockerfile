# The images of docker-compose.yaml. Three targets: `recsync` (Airflow with this project), `local` (the local stack) and
# `recommendations` (the service of docs/recommendations.md, without Airflow).

FROM apache/airflow:3.3.2-python3.11 AS recsync
# Dependencies first: they change less often than the project, and a layer that is unchanged is not built again.
COPY --chown=airflow:0 requirements.txt constraints.txt /opt/airflow/
RUN pip install --no-cache-dir --requirement /opt/airflow/requirements.txt --constraint /opt/airflow/constraints.txt
COPY --chown=airflow:0 deploy/write_password_file.py deploy/create_pools.py /opt/airflow/deploy/
# A new volume takes its owner from the folder that it covers.
RUN mkdir -p /opt/airflow/tmp
COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 dags /opt/airflow/dags

FROM recsync AS local
COPY --chown=airflow:0 requirements-dev.txt /opt/airflow/
RUN pip install --no-cache-dir --requirement /opt/airflow/requirements-dev.txt --constraint /opt/airflow/constraints.txt \
    && mkdir -p /opt/airflow/local-data
COPY --chown=airflow:0 local /opt/airflow/local
ENV PYTHONPATH=/opt/airflow/local
# These services are no Airflow: the base image's own entrypoint would wait for Airflow's database.
ENTRYPOINT ["/usr/bin/dumb-init", "--"]

FROM python:3.11-slim-bookworm AS recommendations
COPY services/recommendations/requirements.txt constraints.txt /opt/recsync/
RUN pip install --no-cache-dir --requirement /opt/recsync/requirements.txt --constraint /opt/recsync/constraints.txt \
    && useradd --create-home --uid 1000 recsync && mkdir -m 700 /data && chown recsync /data
COPY include /opt/recsync/include
COPY plugins /opt/recsync/plugins
COPY services /opt/recsync/services
ENV PYTHONPATH=/opt/recsync/services:/opt/recsync/plugins PYTHONUNBUFFERED=1
USER recsync
