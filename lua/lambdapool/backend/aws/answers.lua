--- What an answer of Lambda, or the lack of one, means for an invocation:
---
---   "ended", outcome      it is over; see lambdapool.backend.local for outcomes
---   "throttled", refusal  it did not run: there is no room now
---   "pending", refusal    it did not run: the function is being made
---   "unreachable", refusal  it did not run: the request never got there
---   "stale", refusal      it did not run: the credentials are too old
---   "skewed", refusal     it did not run: our clock may be wrong
---   "refused", refusal    it did not run, and no other one will
---
--- A request that was sent and got no answer of Lambda's may have run, so it is lost.

local json = require "lambdapool.json"
local refusals = require "lambdapool.aws.refusal"

local answers = {}

-- What the answers of our workers begin with.
local MAGIC = "\xC7LP"

-- Refusals ---------------------------------------------------------------------------------------

local codes = {
  ResourceConflictException = "pending",
  ResourceNotReadyException = "pending",
  ExpiredToken = "stale",
  ExpiredTokenException = "stale",
  RequestTimeTooSkewed = "skewed",
  RequestExpired = "skewed",
  RequestInTheFuture = "skewed",
  InvalidSignatureException = "skewed",
  SignatureDoesNotMatch = "skewed",
}

-- What one request is refused for, and not every one.
local OF_REQUEST = {
  InvalidRequestContentException = true, RequestTooLargeException = true,
  RequestEntityTooLargeException = true,
}

--- The outcome of tasks that were refused, for good.
---@param refusal lambdapool.Refusal
---@param kind string?
---@return table
function answers.lost(refusal, kind)
  return {
    kind = kind or "lost",
    message = tostring(refusal),
    code = refusal.code,
    request_id = refusal.request_id,
    final = refusal.status ~= nil and refusal.status < 500 and refusal.status ~= 429,
  }
end

local function read_refusal(response, where)
  local status = response.status
  local refusal = refusals.of_response("lambda", "Invoke", status, response.headers, response.body,
    where.context)
  local verdict = codes[refusal.code]
  if status == 429 then
    return "throttled", refusal
  elseif verdict then
    return verdict, refusal
  elseif status == 413 then
    return "ended", answers.lost(refusal, "too_large")
  elseif status >= 500 or status < 400 or OF_REQUEST[refusal.code] then
    return "ended", answers.lost(refusal)
  end
  return "refused", refusal
end

-- What stays as it is, however often one tries.
local function is_lasting(failure, message)
  return failure == "refused_url" or failure == "tls" and message:find("certificate", 1, true)
    or failure == "proxy" and message:find("407", 1, true)
end

local function read_failure(response, where)
  local refusal = refusals.of_failure("lambda", "Invoke", response, where.context)
  if response.sent or response.failure == "timeout" or response.failure == "too_large" then
    return "ended", answers.lost(refusal)
  elseif is_lasting(response.failure, response.message) then
    return "refused", refusal
  end
  return "unreachable", refusal
end

-- Functions that failed --------------------------------------------------------------------------

local function update(where, options)
  return ("\n  run `lambdapool update %s%s`"):format(where.name, options or "")
end

local function is_killed(message, report)
  local signal = message:find("signal: killed", 1, true)
  return signal and not (report and report.peak and report.peak < 0.9 * report.memory)
end

local function out_of_memory(where, _, report)
  local memory = report and report.memory
  return "out_of_memory", ("the worker ran out of memory%s%s"):format(
    memory and (", of which it has %d MB"):format(memory) or "",
    update(where, (" --memory %s"):format(memory and math.min(10240, 2 * memory) or "MB")))
end

local function timed_out(where, message)
  local seconds = tonumber(message:match "timed out after ([%d.]+)")
  return "timeout", ("%s ended the worker when its time was up%s"):format(where.name,
    seconds and (", after %g s"):format(seconds) or "")
end

local function older(where, message)
  return "lost", ("%s and this program do not fit together: %s%s"):format(where.name, message,
    update(where)), true
end

local function crashed(_, message)
  return "crashed", "the worker ended: " .. (message:match "^Runtime exited with error: (.*)"
    or message:match "^Runtime (exited without .*)" or message)
end

local function no_start(where, message)
  return "crashed", ("the worker of %s could not start: %s"):format(where.name, message), true
end

-- What the error types of the platform and of the agent mean: kind, message, and whether another
-- try is useless.
local meanings = {
  ["Sandbox.Timedout"] = timed_out,
  ["Runtime.OutOfMemory"] = out_of_memory,
  ["Lambdapool.OutOfMemory"] = out_of_memory,
  ["Lambdapool.CallVersion"] = older,
  ["Runtime.NoHandler"] = older,
  ["Runtime.InvalidEntrypoint"] = no_start,
  ["Runtime.InitError"] = no_start,
  ["Runtime.ImportModuleError"] = no_start,
  ["Runtime.UserCodeSyntaxError"] = no_start,
  ["Runtime.MalformedHandlerName"] = no_start,
  ["Runtime.HandlerNotFound"] = no_start,
  ["Function.ResponseSizeTooLarge"] = function(_, message) return "too_large", message end,
}

meanings["Runtime.ExitError"] = function(where, message, report)
  return (is_killed(message, report) and out_of_memory or crashed)(where, message, report)
end

meanings["Lambdapool.InvalidCall"] = function(where, message)
  if message:find("understands calls of version", 1, true) then
    return older(where, message)
  end
  return "lost", message
end

local function foreign(where, message, error_type)
  return "crashed", ("%s failed by itself: %s%s"):format(where.name,
    error_type and error_type .. ": " or "", message)
end

-- Types that lambdapool did not foresee: of other runtimes, and of older forms.
local function meaning_of(error_type, message)
  if meanings[error_type] then
    return meanings[error_type]
  elseif message:find "Task timed out after [%d.]+ seconds" then
    return timed_out
  elseif error_type and error_type:find "^Runtime%." then
    return crashed
  end
  return function(where, text)
    return foreign(where, text, error_type)
  end
end

-- { type, message } of the body of an error.
local function read_error(body)
  local fields = json.decode(body)
  if type(fields) ~= "table" then
    return nil, body == "" and "it does not say why" or refusals.excerpt(body)
  end
  local message = fields.errorMessage
  message = type(message) == "string" and message or "it does not say why"
  message = message:gsub("^RequestId: [%x-]+ Error: ", "")
  return type(fields.errorType) == "string" and fields.errorType or nil, message
end

local function failed(response, where, report)
  local error_type, message = read_error(response.body)
  local kind, text, final = meaning_of(error_type, message)(where, message, report)
  return { kind = kind, message = text, code = error_type, final = final }
end

-- Answers ----------------------------------------------------------------------------------------

-- A success that no worker of ours sent: of another function, of something in between.
local function not_ours(response, where)
  local body, kind = response.body, response.headers["content-type"]
  local what = body == "" and "it is empty" or refusals.excerpt(body)
  if response.headers["x-amz-executed-version"] then
    return {
      kind = "lost", code = "NotAWorker", final = true,
      message = ("%s is no function of lambdapool's; it answered %s\n" ..
        "  make one with `lambdapool create NAME`"):format(where.name, what),
    }
  end
  return {
    kind = "lost", code = "NotLambda",
    message = ("what answered is not AWS Lambda%s: %s"):format(
      kind and " (" .. refusals.excerpt(kind) .. ")" or "", what),
  }
end

--- What an answer means.
---@param response table see lambdapool.http
---@param where { name: string, context: table? }
---@param report lambdapool.aws.Report? what the log says
---@return string verdict
---@return table
function answers.read(response, where, report)
  if response.failure then
    return read_failure(response, where)
  elseif response.status ~= 200 then
    return read_refusal(response, where)
  end
  local headers, body = response.headers, response.body
  local request_id = headers["x-amzn-requestid"]
  local is_error = headers["x-amz-function-error"]
  if not is_error and body:sub(1, #MAGIC) == MAGIC then
    return "ended", { bytes = body, request_id = request_id }
  end
  local outcome = (is_error and failed or not_ours)(response, where, report)
  outcome.request_id = request_id
  return "ended", outcome
end

return answers
