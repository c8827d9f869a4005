"""All benchmarks: ``make bench``."""

from benchmarks import bootstrap, judge, load, predict

if __name__ == "__main__":
    for benchmark in (load, predict, bootstrap, judge):
        benchmark.main()
