"""Train on the starter clips with several seeds and print what each run reports, costs and needs.

    python tests/benchmarks/starter_seeds.py [--seeds 0 1 2] [--outputs DIR]

Prints a table of RESULTS.md: one row per seed, time from the command to the report, peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def peak_memory_mib(process: subprocess.Popen) -> float:
    """Watch a process until it ends and return the largest resident size that /proc showed (0 elsewhere)."""
    status, largest = Path(f"/proc/{process.pid}/status"), 0.0
    while process.poll() is None:
        try:
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM"):
                    largest = max(largest, int(line.split()[1]) / 1024)
        except OSError:
            pass
        time.sleep(0.2)
    return largest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--outputs", type=Path, default=None)
    arguments = parser.parse_args()
    outputs = arguments.outputs or Path(tempfile.mkdtemp())
    outputs.mkdir(parents=True, exist_ok=True)
    data = HERE / "data" / "starter"
    print(
        "| seed | macro F1 | EER, real against the rest | EER, real against fake | accuracy | minutes | peak memory |"
    )
    print("|---|---|---|---|---|---|---|")
    values = []
    for seed in arguments.seeds:
        folder = outputs / f"seed-{seed}"
        command = [sys.executable, HERE / "CNNRNNLSTM.py", "--data", data, "--seed", str(seed), "--outputs", folder]
        started = time.monotonic()
        with (outputs / f"seed-{seed}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            peak: list[float] = []
            watcher = threading.Thread(target=lambda p=process, found=peak: found.append(peak_memory_mib(p)))
            watcher.start()
            process.wait()
            watcher.join()
        minutes = (time.monotonic() - started) / 60
        if process.returncode:
            print(f"seed {seed} failed; see {outputs}", file=sys.stderr)
            return 1
        metrics = json.loads(next(folder.glob("run-*/metrics.json")).read_text(encoding="utf-8"))

        def cell(name: str, metrics=metrics) -> str:
            entry = metrics[name]
            return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"

        names = ("macro_f1", "eer", "eer_real_fake", "accuracy")
        print(f"| {seed} | " + " | ".join(map(cell, names)) + f" | {minutes:.1f} | {peak[0]:.0f} MiB |", flush=True)
        values.append([metrics[name]["value"] for name in names])
    means = [sum(column) / len(column) for column in zip(*values, strict=True)]
    print("| mean | " + " | ".join(f"{mean:.3f}" for mean in means) + " | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
