"""Python's multiprocessing.Pool: the same work as bench/pool.lua, printed the same way."""
import concurrent.futures
import multiprocessing
import os
import statistics
import time

noise = os.urandom(999999)


def square(x):
    return x * x


def megabyte(i):
    return noise + b"%d" % (i % 10)


def median(rounds, call):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def submitted():
    futures = [executor.submit(square, number) for number in numbers]
    for future in futures:
        future.result()


with multiprocessing.Pool(2) as pool, \
        concurrent.futures.ProcessPoolExecutor(2) as executor:
    numbers = list(range(1, 10001))
    pool.map(square, numbers)
    print("tiny", median(11, lambda: pool.map(square, numbers)))
    print("big", median(5, lambda: pool.map(megabyte, range(100))))
    print("apply", median(2000, lambda: pool.apply(square, (7,))))
    print("streamed", median(3, lambda: sum(1 for _ in pool.imap_unordered(square, numbers))))
    print("submitted", median(3, submitted))
