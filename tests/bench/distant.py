"""boto3 and threads on a function that is far away: what distant.lua does. argv: URL INFLIGHT TASKS."""

import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

url, in_flight, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = boto3.client("lambda", endpoint_url=url, region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE",
                      aws_secret_access_key="secret", config=Config(max_pool_connections=in_flight))


def invoke(i):
    answer = client.invoke(FunctionName="distant", Payload=b'{"task": %d}' % i, LogType="Tail")
    return len(answer["Payload"].read())


with ThreadPoolExecutor(in_flight) as executor:
    list(executor.map(invoke, range(2 * in_flight)))
    start, cpu = time.monotonic(), time.process_time()
    results = list(executor.map(invoke, range(count)))
    took, used = time.monotonic() - start, time.process_time() - cpu
assert min(results) > 0
print("time", took / count * 1e6)
print("cpu", used / count * 1e6)
print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
