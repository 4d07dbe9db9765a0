# The command line in a container, installed as the README does:
#   docker build -t napari-baryir .                           # for CPUs
#   docker build -t napari-baryir --build-arg DEVICE=cuda .   # for NVIDIA GPUs; run with --gpus all
#   docker run --rm --network none --user "$(id -u):$(id -g)" -v "$PWD:/data" napari-baryir restore photo.jpg -o restored
ARG PYTHON=3.13
FROM python:${PYTHON}-slim
ARG DEVICE=cpu

WORKDIR /opt/napari-baryir
COPY . .
# pip's own index has PyTorch with CUDA; the build for CPUs is a tenth of it: name PyTorch's index for CPUs, as its
# installation page gives it, by --build-arg TORCH_INDEX=...
ARG TORCH_INDEX=
RUN case "$DEVICE" in \
      cpu) export PIP_EXTRA_INDEX_URL="$TORCH_INDEX" ;; \
      cuda) ;; \
      *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 2 ;; \
    esac \
    && export PIP_NO_CACHE_DIR=1 \
    && python3 -m venv .venv && .venv/bin/python -m pip install -c constraints.txt .

# Whoever runs it may be any user: models of your own go to a mounted folder, caches to one that all can write to.
ENV NAPARI_BARYIR_MODELS=/models HOME=/tmp
USER nobody
WORKDIR /data
ENTRYPOINT ["/opt/napari-baryir/.venv/bin/napari-baryir"]
CMD ["--help"]
