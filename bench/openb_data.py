"""Make the files of bench/data/openb anew from the published ones.

    python bench/openb_data.py FOLDER [bench/data/openb]

FOLDER holds the CSV files of the publication, its results, and the orders of arrival and of nodes
(bench/data/openb/README.md). Equal input gives equal files.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import sys
import zipfile
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np

NODES = "openb_node_list_gpu_node"
ORDERS = ("arrivals_seed42_51", "node_order_seed42_51")
PUBLISHED = {
    "01-Random": "random",
    "02-DotProd": "dot-product",
    "03-GpuClustering": "clustering",
    "04-GpuPacking": "gpu-packing",
    "05-BestFit": "best-fit",
    "06-FGD": "fgd",
}
LOADS = ("90", "95", "100", "110", "130")
SIZES = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
TIMES = ("creation_time", "deletion_time")
RESAMPLED = ("default", "cpu050", "cpu100", "cpu200", "cpu250", "gpushare40", "gpushare60", "gpushare80", "gpushare100")
CONSTRAINED = ("gpuspec05", "gpuspec10", "gpuspec20", "gpuspec25", "gpuspec33")
OTHERS = ("cpu037", "cpu072", "cpu300", "multigpu20", "multigpu30", "multigpu40", "multigpu50")
COLUMNS = (
    dict.fromkeys(RESAMPLED, SIZES + TIMES)
    | dict.fromkeys(CONSTRAINED, (*SIZES, "gpu_spec"))
    | dict.fromkeys(OTHERS, SIZES)
)
EPOCH = (1980, 1, 1, 0, 0, 0)


def packed(text: str) -> bytes:
    return gzip.compress(text.encode(), 9, mtime=0)


def columns_of(file: Path, columns: tuple[str, ...]) -> str:
    out = StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    with file.open(newline="") as rows:
        writer.writerows(csv.DictReader(rows))
    return out.getvalue()


def orders(file: Path) -> bytes:
    out = BytesIO()
    with np.load(file, allow_pickle=False) as source, zipfile.ZipFile(out, "w") as archive:
        for key in sorted(source.files):
            array = BytesIO()
            np.save(array, source[key].astype("<u2"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(key + ".npy", EPOCH), array.getvalue(), zipfile.ZIP_LZMA)
    return out.getvalue()


def published(file: Path) -> bytes:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("trace", "policy", "seed", *LOADS))
    with file.open(newline="") as rows:
        runs = {
            (run["workload"].removeprefix("openb_pod_list_"), run["sc_policy"], run["seed"]): run
            for run in csv.DictReader(rows)
        }
    for (trace, policy, seed), run in sorted(runs.items()):
        left = (f"{100 - float(run[load]):.2f}" if run[load] else "" for load in LOADS)
        writer.writerow((trace, PUBLISHED[policy], seed, *left))
    return out.getvalue().encode()


def main(source: Path, target: Path) -> None:
    files = {f"openb_pod_list_{trace}.csv.gz": f"openb_pod_list_{trace}.csv" for trace in COLUMNS}
    made = {name: packed(columns_of(source / file, COLUMNS[name[15:-7]])) for name, file in files.items()}
    made[f"{NODES}.csv.gz"] = packed((source / f"{NODES}.csv").read_text())
    made |= {f"{name}.npz": orders(source / f"{name}.npz") for name in ORDERS}
    made["published_seed42_51.csv"] = published(source / "analysis_allo_discrete.csv")
    for name, content in made.items():
        (target / name).write_bytes(content)
    sums = (f"{hashlib.sha256(made[name]).hexdigest()}  {name}\n" for name in sorted(made))
    (target / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parent / "data" / "openb"))
