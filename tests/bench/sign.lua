--- Signing an invocation with 1 KB of body: prints the microseconds that it takes.
local sigv4 = require "lambdapool.aws.sigv4"
local system = require "lambdapool.system"

local COUNT = 200000

local credentials = { access_key = "AKIDEXAMPLE", secret_key = ("s"):rep(40) }
local options = { region = "us-east-1", service = "lambda" } -- the same headers as botocore signs
local request = {
  method = "POST", path = "/2015-03-31/functions/distant/invocations", body = ("x"):rep(1024),
  headers = { host = "lambda.us-east-1.amazonaws.com", ["x-amz-log-type"] = "Tail" },
}

local start = system.monotonic()
for _ = 1, COUNT do
  sigv4.sign(request, credentials, options)
end
print((system.monotonic() - start) / COUNT * 1e6)
