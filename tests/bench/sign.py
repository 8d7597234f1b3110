"""botocore signs an invocation with 1 KB of body: prints the microseconds that it takes."""

import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

COUNT = 4000
URL = "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/distant/invocations"
BODY = b"x" * 1024

auth = SigV4Auth(Credentials("AKIDEXAMPLE", "s" * 40), "lambda", "us-east-1")
start = time.monotonic()
for _ in range(COUNT):
    auth.add_auth(AWSRequest("POST", URL, headers={"X-Amz-Log-Type": "Tail"}, data=BODY))
print((time.monotonic() - start) / COUNT * 1e6)
