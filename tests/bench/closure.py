"""A closure with three captured variables through cloudpickle: prints "name microseconds" lines."""
import pickle
import statistics
import time

import cloudpickle


def closure():
    rate, unit, bands = 0.25, "EUR", [1, 2, 3]

    def price(amount):
        return amount * rate + len(bands), unit

    return price


def median(call, rounds=15, calls=2000):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) * 1e6 / calls)
    return statistics.median(times)


f = closure()
data = cloudpickle.dumps(f)
print("closure_dump", median(lambda: cloudpickle.dumps(f)))
print("closure_load", median(lambda: pickle.loads(data)))
