--- A batch: the items that one call gives to one function, and what has become of them. A whole
--- `map` is one batch; `apply`, `submit` and each chunk of `imap` are small ones. The scheduler
--- cuts a batch into invocations and fills in the results; the values of item i end up in
--- columns[1][i], columns[2][i] and so on, put there by the codec, many at a time.

local errors = require "lambdapool.errors"

---@class lambdapool.Batch
---@field code any the encoded function
---@field items table items 1 to n: arguments, or with `star` tables of arguments
---@field request { star: boolean, timeout_ms: integer } options of codec.request
---@field n integer
---@field remaining integer items that have not ended yet
---@field done boolean
---@field columns table[]
---@field width integer the largest number of values that a task has returned
---@field errors table<integer, lambdapool.Error>? by item
---@field first_error integer? the lowest item in `errors`
---@field refusal any why the items could not be sent: raised as it is
---@field fail_fast boolean? the first error cancels the items behind it
---@field cancelled boolean? what has not been sent is not sent any more
---@field on_done fun(batch: lambdapool.Batch)?
local methods = {}
local mt = { __name = "lambdapool.Batch", __index = methods }

local function ended(self, count)
  self.remaining = self.remaining - count
  if self.remaining == 0 then
    self.done = true
    if self.on_done then
      self.on_done(self)
    end
  end
end

local function note_error(self, index, kind, fields)
  fields.index = self.position + index
  fields.count = self.total
  self.errors = self.errors or {}
  self.errors[index] = errors.new(kind, fields)
  self.first_error = math.min(self.first_error or index, index)
end

--- Items `first` to `last` have run; `failures` is what codec.response gives for those that failed.
function methods:complete(first, last, report, failures, origin)
  self.width = math.max(self.width, report.max_values)
  for k, failure in pairs(failures or {}) do
    note_error(self, first - 1 + k, failure.kind, {
      message = failure.message,
      value = failure.value,
      traceback = failure.traceback,
      worker = origin.worker,
      request_id = origin.request_id,
      milliseconds = first == last and report.run_us / 1000 or nil,
    })
  end
  ended(self, last - first + 1)
end

--- Items `first` to `last` ended in an error of the platform.
function methods:fail(first, last, kind, message, origin)
  if first < last then
    message = ("%s\n  it had been given tasks %d to %d"):format(message, self.position + first,
      self.position + last)
  end
  for index = first, last do
    note_error(self, index, kind, {
      message = message,
      log = origin and origin.log,
      worker = origin and origin.worker,
      request_id = origin and origin.request_id,
    })
  end
  ended(self, last - first + 1)
end

--- Items `first` to `last` never ran, because the batch has failed or was given up.
function methods:skip(first, last)
  ended(self, last - first + 1)
end

--- The items cannot be sent: ends with `refusal` what has not been sent yet.
function methods:refuse(first, last, refusal)
  self.refusal = self.refusal or refusal
  self.cancelled = true
  ended(self, last - first + 1)
end

--- True when items from `first` on need not be run any more.
function methods:is_moot(first)
  return self.cancelled or (self.fail_fast and self.first_error and first > self.first_error)
end

--- Raises what went wrong first, by position, if anything did.
function methods:check()
  if self.refusal then
    error(self.refusal, 0)
  elseif self.errors then
    error(self.errors[self.first_error], 0)
  end
end

local function values(columns, i, j, width)
  if j <= width then
    local column = columns[j]
    return column and column[i], values(columns, i, j + 1, width)
  end
end

--- The values of item `i`; raises its error when it has one.
function methods:values(i)
  if self.refusal then
    error(self.refusal, 0)
  elseif self.errors and self.errors[i] then
    error(self.errors[i], 0)
  end
  return values(self.columns, i, 1, self.width)
end

--- All results, one list for each value that the tasks return, at least one; each has `n`.
function methods:lists()
  local columns = self.columns
  for j = 1, math.max(self.width, 1) do
    columns[j] = columns[j] or {}
    columns[j].n = self.n
  end
  return table.unpack(columns, 1, math.max(self.width, 1))
end

---@param code any from codec.code
---@param items table
---@param n integer
---@param request { star: boolean, timeout_ms: integer }
---@return lambdapool.Batch
local function new(code, items, n, request)
  return setmetatable({
    code = code,
    items = items,
    n = n,
    request = request,
    position = 0,
    total = n,
    remaining = n,
    done = n == 0,
    columns = { n = n }, -- the codec makes room for n rows
    width = 0,
  }, mt)
end

return { new = new }
