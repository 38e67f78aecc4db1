# The image of docker-compose.yaml. Two targets: `recsync` (Airflow with this project) and `local` (the local stack).

FROM apache/airflow:3.3.2-python3.11 AS recsync
# Dependencies first: they change less often than the project, and a layer that is unchanged is not built again.
COPY --chown=airflow:0 requirements.txt constraints.txt /opt/airflow/
RUN pip install --no-cache-dir --requirement /opt/airflow/requirements.txt --constraint /opt/airflow/constraints.txt
COPY --chown=airflow:0 deploy/write_password_file.py /opt/airflow/deploy/write_password_file.py
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
