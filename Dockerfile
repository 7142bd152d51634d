# The suite with everything that training, tables, the report page and films take. `make docker` builds it; docs/installation.md shows its use.
FROM python:3.11-slim

# Renderers for films, which need no screen
RUN apt-get update && apt-get install --yes --no-install-recommends libegl1 libgl1-mesa-dri libosmesa6 && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
# PyTorch's index of CPU builds makes the image gigabytes smaller: docker build --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL
WORKDIR /suite
COPY . .
RUN pip install --constraint constraints.txt '.[arrow,onnx,report,robotics,tensorboard,wandb]'

# Data sets and results go to the folder that is mounted at /data, under any user: docker run --user "$(id -u):$(id -g)" -v "$PWD:/data"
ENV MINARI_DATASETS_PATH=/data/minari HOME=/tmp USER=bench
WORKDIR /data
ENTRYPOINT ["python", "-m", "bench"]
