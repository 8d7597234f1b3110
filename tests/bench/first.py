"""The smallest program with a pool, from its start to its first result."""
import multiprocessing


def add(a, b):
    return a + b


if __name__ == "__main__":
    pool = multiprocessing.Pool(2)
    print(pool.apply(add, (1, 2)), flush=True)
    pool.terminate()
