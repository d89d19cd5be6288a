# yolo-max on CPUs, as a user without rights. It neither compiles nor downloads for the networks of scripts/graphs.toml.
#
#   make wheel && docker build -t yolo-max .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" yolo-max predict images -w yolov8n-shapes
#
# For a network of your own: yolo-max weights compile -w best.pt -o best.mef, then predict -w best.pt --compiled best.mef
FROM python:3.11-slim-bookworm

# What prediction, videos and the service need: no PyTorch, no Ultralytics, and OpenCV without a desktop's libraries.
COPY constraints.txt dist/*.whl /tmp/
RUN pip install --no-cache-dir --no-deps /tmp/yolo_max-*.whl \
 && pip install --no-cache-dir --constraint /tmp/constraints.txt \
      jinja2 max numpy opencv-python-headless==5.0.0.93 pillow platformdirs pyyaml rich scipy typer \
      av fastapi prometheus-client python-multipart uvicorn \
 && rm /tmp/yolo_max-*.whl /tmp/constraints.txt

# The cache belongs to whoever runs it: in a folder like /tmp, each user makes a private one.
ENV HOME=/tmp YOLO_MAX_CACHE_DIR=/tmp/yolo_max
USER 10001:10001
WORKDIR /work

HEALTHCHECK --interval=1m --timeout=30s --start-period=10s \
  CMD ["python", "-c", "import numpy, yolo_max; yolo_max.Predictor('yolov8n-shapes')(numpy.zeros((320, 320, 3), 'uint8'))"]

ENTRYPOINT ["yolo-max"]
CMD ["--help"]
