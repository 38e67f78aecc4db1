# Everything a person needs. The first command sets up .venv by itself; outside the checkout only pip and uv write, into
# their caches.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
WANTED := -r requirements-dev.txt -c constraints.txt
STACK := PYTHONPATH=local $(BIN)/python -m stack
# A command of somebody else's shell must not change what is tested or started here.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status load new run trade kit preview preflight push costs forget explain retire test check programs fix lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## install everything into .venv (the others do it when needed)

$(READY): requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' || \
	  { echo "recsync needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV): a few minutes the first time …"
	@$(PYTHON) -m venv $(VENV)
	@# uv takes 12 s of CPU for what takes pip 140, but does not read pip's settings: if they name an index, pip installs.
	@{ ! $(PIP) config list | grep -q '[.]index-url=' && $(PIP) install --quiet uv -c constraints.txt && \
	  $(BIN)/uv pip install --quiet --native-tls --python $(BIN)/python $(WANTED); } || \
	  $(PIP) install --quiet --no-compile $(WANTED)
	@# Airflow starts many processes; byte-compiling once halves each start. Left out: what is hardly ever imported.
	@$(BIN)/python -m compileall -q -j 0 -x '/(tests?|moto|mypyc?|pip|sympy)/' $(VENV)/lib >/dev/null || true
	@touch $@

demo: $(READY) ## the whole of recsync on the sample data, from an empty machine to Braze
	$(STACK) demo

up: $(READY) ## start the local stack and Airflow
	$(STACK) up

down: $(READY) ## stop them
	$(STACK) down

status: $(READY) ## say what runs where
	$(STACK) status

load: $(READY) ## make each CSV or Parquet file of a folder a table of the warehouse: make load DATA=<folder>
	@test -n "$(DATA)" || { echo "which folder? make load DATA=<folder>"; exit 2; }
	$(STACK) load "$(DATA)"

new: $(READY) ## write the files of a program from your tables: make new PROGRAM=<name> [DATA=<folder>] [TABLES=<table,table>] [ANSWERS=<file>] [OVERWRITE=1]
	@test -n "$(PROGRAM)" || { echo "what shall it be called? make new PROGRAM=<name> [DATA=<folder of CSV or Parquet files>]"; exit 2; }
	@$(STACK) new "$(PROGRAM)" $(if $(DATA),--data "$(DATA)") $(if $(TABLES),--tables "$(TABLES)") \
	  $(if $(ANSWERS),--answers "$(ANSWERS)") $(if $(OVERWRITE),--overwrite)

MODE ?= auto
run: $(READY) ## the chain once for one program, starting what is stopped: make run PROGRAM=<name> [MODE=full|hourly] [UNTIL=<ISO time>]
	@test -n "$(PROGRAM)" || { echo "which program? make run PROGRAM=<name of a file in include/programs>"; exit 2; }
	$(STACK) run "$(PROGRAM)" --mode $(MODE) $(if $(UNTIL),--until $(UNTIL))

trade: $(READY) ## keep the sample's shop busy: purchases that lie ahead happen now: make trade [MINUTES=30]
	$(STACK) trade $(if $(MINUTES),--minutes $(MINUTES))

push: $(READY) ## deliver a batch output, in process: make push PROGRAM=<name> RECOMMENDATIONS=<folder or s3://…> [DRY_RUN=1] [RESYNC=1] [ALLOW_REMOVALS=1]
	@test -n "$(PROGRAM)" -a -n "$(RECOMMENDATIONS)$(RESYNC)" || \
	  { echo "what to whom? make push PROGRAM=<name> RECOMMENDATIONS=<folder of .out files, or s3://bucket/prefix>"; \
	    echo "or the newest recommendations to everybody anew: make push PROGRAM=<name> RESYNC=1"; exit 2; }
	$(STACK) push "$(PROGRAM)" $(if $(RECOMMENDATIONS),"$(RECOMMENDATIONS)") \
	  $(if $(DRY_RUN),--dry-run) $(if $(RESYNC),--resync) $(if $(ALLOW_REMOVALS),--allow-removals)

kit: $(READY) ## write what the marketer copies into Braze, from the program file, to include/email: make kit [PROGRAM=<name>]
	@PYTHONPATH=plugins $(BIN)/python -m recsync.email_kit $(PROGRAM)

# No id in a command line, as for forget.
preview: $(READY) ## show mails as Braze would render them, with pictures: make preview PROGRAM=<name> [USERS=<file of ids, - for standard input>]
	@test -n "$(PROGRAM)" || { echo "which program? make preview PROGRAM=<name of a file in include/programs>"; exit 2; }
	@test "$(origin USER)" != "command line" || \
	  { echo "An id on the command line is seen by everybody on this machine: write it into a file (make preview PROGRAM=… USERS=<file>), or USERS=- and type it."; exit 2; }
	@$(STACK) preview "$(PROGRAM)" $(if $(USERS),--users "$(USERS)")

preflight: $(READY) ## check all that a run of one program needs before anything is billed: make preflight PROGRAM=<name>
	@test -n "$(PROGRAM)" || { echo "which program? make preflight PROGRAM=<name of a file in include/programs>"; exit 2; }
	@$(STACK) preflight "$(PROGRAM)"

.PHONY: recommendations
recommendations: $(READY) ## serve the published lists of the local stack over HTTP, for Connected Content: make recommendations [PORT=8090]
	@$(STACK) recommendations $(if $(PORT),--port $(PORT))

costs: $(READY) ## what the programs used and what it cost: make costs [PROGRAM=<name>] [MONTH=<YYYY-MM>]
	$(STACK) costs $(PROGRAM) $(if $(MONTH),--month $(MONTH))

# No id in a command line: every user of the machine can read those. Make takes USER from the login when it is not given.
forget: $(READY) ## take people out of everything recsync wrote, one user_id a line: make forget [USERS=<file>] [PROGRAM=<name>] < <ids>
	@test "$(origin USER)" != "command line" -a "$(origin EXTERNAL_ID)" != "command line" || \
	  { echo "An id on the command line is seen by everybody on this machine: write it into a file (make forget USERS=<file>) or type it after make forget."; exit 2; }
	@$(STACK) forget $(PROGRAM) $(if $(USERS),--users "$(USERS)")

explain: $(READY) ## why people have their list or none, one user_id a line: make explain PROGRAM=<name> [USERS=<file>] < <ids>; all without one: [WITHOUT_LIST=<file.csv>]
	@test -n "$(PROGRAM)" || { echo "which program? make explain PROGRAM=<name of a file in include/programs>"; exit 2; }
	@test "$(origin USER)" != "command line" || \
	  { echo "An id on the command line is seen by everybody on this machine: write it into a file (make explain USERS=<file>) or type it after make explain."; exit 2; }
	@$(STACK) explain "$(PROGRAM)" $(if $(USERS),--users "$(USERS)") $(if $(WITHOUT_LIST),--without-list "$(WITHOUT_LIST)")

.PHONY: tables-ddl
DIALECT ?= athena
tables-ddl: $(READY) ## SQL that makes a program's tables readable: make tables-ddl PROGRAM=<name> [DIALECT=athena|redshift_spectrum|snowflake|bigquery|duckdb] [BUCKET=<name>] [ACCESS=<role or connection>] [TABLES=<table,table>] [DAYS=31]
	@test -n "$(PROGRAM)" || { echo "of which program? make tables-ddl PROGRAM=<name of a file in include/programs>"; exit 2; }
	@PYTHONPATH=plugins $(BIN)/python -m recsync.tables "$(PROGRAM)" --dialect "$(DIALECT)" $(if $(BUCKET),--bucket "$(BUCKET)") \
	  $(if $(ACCESS),--access "$(ACCESS)") $(if $(TABLES),--tables "$(TABLES)") $(if $(DAYS),--days $(DAYS))

NOTEBOOK := examples/notebook
.PHONY: notebook
notebook: $(READY) .notebook-venv/.ready ## a worked example over the tables in a notebook, of the local stack or of AIRFLOW__RECSYNC__BUCKET: make notebook [PROGRAM=<name>]
	@if [ -n "$$AIRFLOW__RECSYNC__BUCKET" ]; then \
	  PYTHONPATH=plugins PROGRAM="$(or $(PROGRAM),grocery)" .notebook-venv/bin/marimo edit $(NOTEBOOK)/deliveries.py; \
	else $(STACK) notebook $(PROGRAM); fi

.notebook-venv/.ready: $(READY) $(NOTEBOOK)/requirements.txt
	@$(PYTHON) -m venv .notebook-venv && printf '*\n' > .notebook-venv/.gitignore
	@$(BIN)/uv pip install --quiet --native-tls --python .notebook-venv/bin/python -r $(NOTEBOOK)/requirements.txt
	@touch $@

retire: $(READY) ## take a program out of Braze, Personalize and S3: make retire PROGRAM=<name> [DRY_RUN=1]
	@test -n "$(PROGRAM)" || { echo "which program? make retire PROGRAM=<name of a file in include/programs>"; exit 2; }
	$(STACK) retire "$(PROGRAM)" $(if $(DRY_RUN),--dry-run)

test: $(READY) ## run all tests, five files at a time: many of them wait for servers
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder tests

.PHONY: test-compose
test-compose: $(READY) ## docker-compose.yaml in containers, from training to Braze: root, Podman, Debian's Python 3.11
	RECSYNC_COMPOSE_TESTS=1 $(BIN)/python -m pytest -q -rs tests/deployment/test_containers.py

check: $(READY) ## formatter, linter, types, import layers, program files
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=plugins:local $(BIN)/lint-imports
	PYTHONPATH=plugins $(BIN)/python -m recsync.preflight.check_programs include

programs: $(READY) ## the part of check for program files, prices and SQL alone, in about a second
	@PYTHONPATH=plugins $(BIN)/python -m recsync.preflight.check_programs include

.PHONY: bench
bench: $(READY) .bench-venv/.ready ## measure against floors and peers: make bench [ONLY="plan delivery …"] [USERS=n] [FULL=1|DEEP=1] [WRITE=1]
	PYTHONPATH=plugins:services:local $(BIN)/python -m benchmarks.run $(ONLY) $(if $(USERS),--users $(USERS)) $(if $(FULL),--full) $(if $(DEEP),--deep) $(if $(WRITE),--write)

.bench-venv/.ready: $(READY) benchmarks/requirements.txt benchmarks/requirements-apart.txt
	@$(BIN)/python -m benchmarks.peers
	@touch $@

.PHONY: recipes
recipes: $(READY) ## every recipe its full way on the sample data, and its metrics as a table: make recipes [ONLY="sims …"]
	$(BIN)/python -m benchmarks.recipes $(ONLY)

.PHONY: parity
parity: $(READY) ## which operations of Amazon Personalize the local server answers, tried one by one, as a table
	PYTHONPATH=local $(BIN)/python -m personalize_local.parity

.PHONY: faults
faults: $(READY) ## what each fault does to a delivery, as a table: make faults [ONLY=<words>] [WRITE=1]
	$(BIN)/python tests/fault_matrix/run_matrix.py --only "$(ONLY)" $(if $(WRITE),--write)

.PHONY: docs docs-diagrams docs-pictures
docs: $(READY) ## build the documentation site into site/; a broken link or a page without a place is an error
	@# Not --quiet: it hides warnings from strict as well.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build && echo "open site/index.html"

docs-diagrams: $(READY) ## draw the Mermaid diagrams of the docs as SVGs: needs npm and Chromium
	PYTHONPATH=local $(BIN)/python -m docs_site.diagrams

docs-pictures: $(READY) ## take the pictures of the docs after make demo: make docs-pictures [PICTURES="made" or names]; needs Chromium
	PYTHONPATH=local $(BIN)/python -m docs_site.pictures $(PICTURES)

fix: $(READY) ## let the formatter and the linter mend what they can
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .

lock: ## resolve requirements*.txt anew for the oldest Python promised, and pin the whole set in constraints.txt
	rm -rf .lock-venv && $(PYTHON) -m venv .lock-venv
	.lock-venv/bin/python -m pip install --quiet uv
	.lock-venv/bin/uv pip compile --quiet --upgrade --python-version 3.11 --no-annotate \
	  --custom-compile-command "make lock" --python .lock-venv/bin/python \
	  requirements-dev.txt requirements-optional.txt --output-file constraints.txt >/dev/null
	rm -rf .lock-venv

clean: down ## stop the stack and delete its state
	rm -rf .stack
