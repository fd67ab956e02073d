"""After warming up, no kernel is left to be loaded or compiled while records wait."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from detector import profile
from tests import traffic
from tests.detector import scenario

COUNT = """
import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from connectors.files import FileSource
from detector import profile
from detector.config import Config
from detector.edge import make_decoder
from detector.settings import Settings
from detector.pipeline import Shard, warm_up


def kernels():
    found = (value for module in list(sys.modules.values()) for value in vars(module).values())
    return {f"{k.__module__}.{k.__name__}": len(k.signatures) for k in found if isinstance(k, Dispatcher)}


log, saved = map(Path, sys.argv[1:])
profiles = profile.load(saved)
decoder = make_decoder(Config())
warm_up(profiles)
before = kernels()
source = FileSource([log], batch_queries=512, record_bytes=1 << 20, latest=4e9)
for learn in (False, True):
    shard = Shard(Settings(learn=learn), profiles)
    alerts = [alert for raw in source.batches() for alert in shard.process(decoder.decode(raw)[0]).alerts]
assert alerts
assert "detector.features.kernel.advance" in before
print(*(name for name, count in kernels().items() if before.get(name) != count))
"""


def test_no_kernel_is_left_for_the_first_records(tmp_path: Path) -> None:
    saved = tmp_path / "profile.qwp"
    profile.save(saved, scenario.profiles("toy", "other"))
    models = [traffic.benign(60, seed=n, model=model) for n, model in enumerate(("toy", "other"))]
    attacks = [traffic.inversion(seed=3), traffic.inversion(seed=4, model="other")]
    log = traffic.write(tmp_path / "log.ndjson", traffic.mixed(*models, *attacks))
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(log), str(saved)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
