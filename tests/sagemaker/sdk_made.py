"""Where the SageMaker Python SDK 2.257.7 is: in an environment of its own, which ``make test`` makes beside ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MADE = Path(sys.prefix) / "sagemaker-sdk/bin/python"
PYTHON = Path(os.environ.get("SHOAL_SAGEMAKER_SDK_PYTHON", MADE))
WHY = "no SageMaker Python SDK 2.257.7; run make test, or name its interpreter in SHOAL_SAGEMAKER_SDK_PYTHON"
