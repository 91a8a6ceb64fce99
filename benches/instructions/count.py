"""Counts the instructions of pieces of the core's work, which noise does not touch, and holds them to `benches/baseline.json`.

    benches/instructions/count.py            fails where one takes more than 5 % more than the baseline says
    benches/instructions/count.py --update   writes the baseline, to be committed with the change that is its reason

Each piece runs under callgrind twice, without and with so many times; the difference is what the work itself takes. Counts
depend on the compiler and on what a library finds the processor able to do: where those are others than the baseline was
made with, there is nothing to compare with, and that is said instead.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE.parent / "baseline.json"
WORKSPACE = HERE.parent.parent / "tests/fuzz"
TIMES = 20
GROWTH = 1.05


def output(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout


def build():
    cache = os.environ.get("PORTCULLIS_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "portcullis"
    target = pathlib.Path(cache) / "fuzz/target"
    command = ["cargo", "build", "--locked", "-q", "-p", "portcullis-instructions", "--profile", "instructions"]
    subprocess.run(command, check=True, cwd=WORKSPACE, env={**os.environ, "CARGO_TARGET_DIR": str(target), "RUSTFLAGS": ""})
    return target / "instructions/portcullis-instructions"


def counted(program, name, times):
    """Instructions of the whole process, which has nothing but the work to do."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, name, str(times)]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"instructions: {name}: {done.stderr[-2000:]}")
    return int(found[1])


def count(program, name):
    return round((counted(program, name, TIMES + 1) - counted(program, name, 1)) / TIMES)


def surroundings():
    """What the counts depend on beside the code."""
    flags = next((line.split(":")[1].split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    return {
        "rustc": output("rustc", "--version").strip(),
        "valgrind": output("valgrind", "--version").strip(),
        "processor": sorted(set(flags) & {"avx2", "bmi2", "pclmulqdq", "sha_ni", "ssse3"}) or [os.uname().machine],
    }


def main():
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions: valgrind is missing; as root, run: apt-get install valgrind")
    program = build()
    names = output(program).splitlines()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(names, pool.map(lambda name: count(program, name), names)))
    found = {"with": surroundings(), "instructions": counts}
    if "--update" in sys.argv:
        BASELINE.write_text(json.dumps(found, indent=2) + "\n")
    if not BASELINE.exists():
        print(json.dumps(found, indent=2))
        raise SystemExit(f"instructions: there is no {BASELINE.name} to hold them to; --update makes one")
    before = json.loads(BASELINE.read_text())
    if before["with"] != found["with"]:
        print(f"instructions: not compared: the baseline was made with {before['with']}, this is {found['with']}")
        return
    failed = sorted(set(counts) ^ set(before["instructions"]))
    for name in failed:
        print(f"instructions: {name} is not in both the work and the baseline")
    for name, now in counts.items():
        then = before["instructions"].get(name, now)
        grown = now > then * GROWTH
        failed += [name] if grown else []
        print(f"instructions: {'FAILED ' if grown else ''}{name}: {now:,} ({(now / then - 1) * 100:+.1f} %)")
    if failed:
        raise SystemExit("instructions: make it cheaper, or commit the new counts (--update) with the reason why they must grow")


main()
