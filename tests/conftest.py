"""What all tests need before anything is imported."""

import os

# gRPC's own handlers for forks may leave a forked child, such as Spark's JVM, without its file descriptors
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
