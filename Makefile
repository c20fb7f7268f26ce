# `make read` reads a sample page, `make test` runs every check. Both need Python 3.11 or newer and pip, and make their
# own environment in .venv. PIP_FLAGS and NPM_FLAGS are passed to each pip install and npm ci (an index of your own, a cache).

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP_FLAGS ?=
NPM_FLAGS ?=
SAMPLE ?= samples/page.png
BIN := .venv/bin
WORKERS ?= $(shell test "$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" -ge 2 && echo 2 || echo 1)
# Only for the program inside, AWS's emulator of Lambda; a folder of its own keeps its many requirements away.
LAMBDA_EMULATOR := aws-sam-cli==1.170.0
# What documents are checked against: kraken's source holds the schemas of ALTO and PAGE, hocr-spec knows hOCR.
SCHEMAS := kraken==5.2.9
HOCR_SPEC := hocr-spec==0.2.0 future==1.0.0
# Label Studio's SDK, whose requirements as a whole would take numpy back two years: those that checking asks for.
LABEL_STUDIO := label-studio-sdk==2.1.2 appdirs==1.4.4 faker==40.63.0 ijson==3.6.0 jsf==0.11.2 nltk==3.10.4 \
	pyjwt==2.15.1 rstr==3.2.2 smart_open==9.0.2 ujson==6.1.0 wrapt==2.5.2 xmljson==0.2.1
# Another build of ONNX Runtime, in a folder of its own: two in one environment overwrite each other.
OPENVINO := onnxruntime-openvino==1.24.1
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip
INSTALL = $(PIP) install --quiet $(PIP_FLAGS) --constraint constraints.txt

# The data sets that some tests and benchmarks measure on, where they lie beside the repository.
ifneq ($(wildcard ../shared/data),)
export TEXT_RECOGNIZER_DATA ?= $(abspath ../shared/data)
endif

.PHONY: read test lint types rooms scripts docs diagram unit lowest train-demo image sbom install clean

read: .venv/read.stamp
	@$(BIN)/text-recognizer read $(SAMPLE)

test: lint types rooms scripts docs unit

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test.stamp
	$(BIN)/mypy

rooms: .venv/test.stamp
	$(BIN)/lint-imports

# The web page's scripts: eslint and the types of their JSDoc, by the versions in package-lock.json.
scripts:
	@if command -v npm >/dev/null; then \
		{ test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund $(NPM_FLAGS); } \
		&& npm run --silent check; \
	else echo "The web page's scripts are not checked: install Node.js 20 or newer to check them." >&2; fi

# docs/images/application.svg from application.dot, by Graphviz as WebAssembly; `make scripts` says when they differ.
diagram:
	@{ test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund $(NPM_FLAGS); }
	@node tools/diagram.js

# The documentation site in build/docs, by Sphinx; a warning, such as a broken link between pages, is an error.
docs: .venv/test.stamp
	@$(BIN)/sphinx-build -E -W --keep-going --quiet -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

# Two processes share the tests file by file, a core for each: threads would hold up each other. What another process
# could disturb follows in one. WORKERS=1: one process for all.
unit: .venv/test.stamp
ifeq ($(WORKERS),1)
	$(BIN)/pytest -q --durations 15
else
	OMP_NUM_THREADS=1 $(BIN)/pytest -q --durations 15 -m "not alone" \
		--numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/pytest -q -m alone
endif

# The lowest versions that pyproject.toml allows, in an environment of their own.
lowest: .venv/test.stamp
	.ci/lowest

# The whole way of a model in some minutes, without any data: train, track, stage, gate, promote, read a page.
train-demo: .venv/test.stamp
	$(BIN)/text-recognizer train demo

# Needs docker, podman or buildah, not Python's packages. ENGINE names its command, IMAGE_FLAGS goes to its build.
image:
	@$(PYTHON) deploy/image.py build $(if $(ENGINE),--engine '$(ENGINE)') $(if $(IMAGE_FLAGS),-- $(IMAGE_FLAGS))

# What is inside that image, as CycloneDX: sbom.json.
sbom: .venv/sbom.stamp
	@$(BIN)/python deploy/image.py sbom $(if $(ENGINE),--engine '$(ENGINE)')

# Everything a developer needs: training, checks and hooks.
install: .venv/test.stamp
	-$(BIN)/pre-commit install

.venv/read.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv (once, about a minute)…" >&2
	@$(INSTALL) --editable .
	@touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing the tools and torch into .venv (once, some minutes)…" >&2
	@$(PIP) install --quiet $(PIP_FLAGS) --upgrade 'pip>=25.1'  # the first that installs dependency groups
	@$(INSTALL) --editable '.[app,mcp,ocrmypdf,langchain,review,train,lambda,postgres,s3,hf,wandb,mlflow]' --group dev --group docs
	@$(INSTALL) --no-deps --no-compile --upgrade --target .venv/lambda-rie $(LAMBDA_EMULATOR)
	@$(INSTALL) --no-deps --no-compile --upgrade --target .venv/standards $(HOCR_SPEC)
	@$(INSTALL) --no-deps --no-compile --upgrade --target .venv/label-studio $(LABEL_STUDIO)
	@$(INSTALL) --no-deps --no-compile --upgrade --target .venv/openvino $(OPENVINO)
	@$(PIP) download --quiet $(PIP_FLAGS) --no-deps --no-binary kraken --dest .venv/standards $(SCHEMAS)
	@touch $@ .venv/read.stamp

.venv/sbom.stamp: | .venv/bin/python
	@$(INSTALL) 'cyclonedx-bom>=7,<8'
	@touch $@

# Some systems ship Python without ensurepip; then the pip beside it fills the environment.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it, or give its path: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { \
		rm -rf .venv; $(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python .venv/bin/python install --quiet $(PIP_FLAGS) pip; }

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
