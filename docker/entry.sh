#!/bin/sh
# What the image does when it is run with `train` or `serve`. exec, so that SIGTERM reaches the program itself.
set -eu
case "${1:-}" in
    train)
        shift
        exec shoal sagemaker train "$@"
        ;;
    serve)
        shift
        # The model is in /opt/ml/model, the port 8080, unless SAGEMAKER_DATA_PATH or SAGEMAKER_BIND_TO_PORT says otherwise.
        exec shoal sagemaker serve --host 0.0.0.0 "$@"
        ;;
    *)
        echo "usage: docker run IMAGE train | serve" >&2
        exit 2
        ;;
esac
